//! Istio's policies as objects of a real API server, with kinds as wide as can be: what follows from them for a wish
//! and for `hot-switch check --live`; and a mesh of which much fails at once.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::istio::{Account, ApiServer};
use serde_json::{Value, json};

use crate::pods::{OWN, TLS, note, pod, run, until};
use crate::words::{Lease, with_controller};

const SECURITY: &str = "security.istio.io";
const NETWORKING: &str = "networking.istio.io";

/// A kind of Istio's that takes any specification.
fn kind(group: &str, plural: &str, kind: &str) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind,
                "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]},
    })
}

fn object(group: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name, "namespace": "shop"},
        "spec": spec})
}

fn path(group: &str, plural: &str, name: &str) -> String {
    format!("/apis/{group}/v1/namespaces/shop/{plural}/{name}")
}

fn add_kinds(server: &ApiServer) -> Result<()> {
    let kinds = [
        (SECURITY, "peerauthentications", "PeerAuthentication"),
        (SECURITY, "authorizationpolicies", "AuthorizationPolicy"),
        (SECURITY, "requestauthentications", "RequestAuthentication"),
        (NETWORKING, "destinationrules", "DestinationRule"),
    ];
    for (group, plural, name) in kinds {
        server.apply(&kind(group, plural, name))?;
        until(plural, || Ok(server.get(&format!("/apis/{group}/v1/namespaces/shop/{plural}")).is_ok()))?;
    }
    Ok(())
}

/// Where a policy protects the pod, the second consent is needed; and not where none does.
///
/// Each policy is there before a controller begins: one that comes later is seen within ten seconds, and a bypass that
/// was granted before stays.
pub(crate) fn policies(server: &ApiServer, agent: &Account, controller: &Account) -> Result<()> {
    add_kinds(server)?;
    let lease = Lease::create(server, agent)?;
    let answered = |since, refused: Option<&str>| {
        until(&format!("wish {since}: {refused:?}"), || {
            lease.say(since, &["shop/cart-1"], &[])?;
            lease.is_answered("shop/cart-1", since, refused)
        })
    };
    let ends = || {
        lease.say(0, &[], &[])?;
        let mode = || server.get("/api/v1/namespaces/shop/pods/cart-1");
        until("the end", || Ok(mode()?["metadata"]["labels"][TLS] == "istio"))
    };
    let strict = object(SECURITY, "PeerAuthentication", "default", json!({"mtls": {"mode": "STRICT"}}));
    server.apply(&strict)?;
    with_controller(server, controller, || {
        answered(11, Some("unprotected"))?;
        server.delete(&path(SECURITY, "peerauthentications", "default"))?;
        answered(11, None)?;
        ends()
    })?;
    let selects = json!({"selector": {"matchLabels": {"app": "cart"}}, "rules": [{}]});
    server.apply(&object(SECURITY, "AuthorizationPolicy", "cart", selects))?;
    with_controller(server, controller, || {
        let consent = |given: Value| {
            let change = json!({"metadata": {"annotations": {note("allow-unprotected"): given}}});
            server.merge("/api/v1/namespaces/shop/pods/cart-1", &change)
        };
        answered(12, Some("unprotected"))?;
        consent("true".into())?;
        answered(12, None)?;
        ends()?;
        consent(Value::Null)?;
        server.delete(&path(SECURITY, "authorizationpolicies", "cart"))
    })
}

/// What `check --live` finds follows what is there.
pub(crate) fn live(server: &ApiServer) -> Result<()> {
    for object in reader() {
        server.apply(&object)?;
    }
    let reader = server.account("shop", "reader")?;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {"selector": {"app": "cart"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    server.apply(&service)?;
    let check = || said(server, &["check", "--live", "--mode", "act"], &reader);
    let (_, calm) = check()?;
    ensure!(calm.contains("shop/cart-1"), "the pod is not judged: {calm}");
    for code in ["HS107", "HS201"] {
        ensure!(!calm.contains(&format!("[{code}]")), "{code} without a reason: {calm}");
    }
    let strict = object(SECURITY, "PeerAuthentication", "default", json!({"mtls": {"mode": "STRICT"}}));
    let mutual = json!({"host": "cart.shop.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}});
    server.apply(&strict)?;
    server.apply(&object(NETWORKING, "DestinationRule", "cart", mutual))?;
    let (code, found) = check()?;
    ensure!(code == Some(3), "findings have an exit code of their own: {code:?}: {found}");
    for code in ["HS107", "HS201", "HS401"] {
        ensure!(found.contains(&format!("[{code}]")), "{code} is not found: {found}");
    }
    server.delete(&path(SECURITY, "peerauthentications", "default"))?;
    server.delete(&path(NETWORKING, "destinationrules", "cart"))?;
    // An account that may not read what is asked for is told which kind, and nothing is judged.
    server.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/reader")?;
    let mut refused = (None, String::new());
    until("the right is gone", || {
        refused = check()?;
        Ok(refused.0 == Some(1))
    })?;
    ensure!(refused.1.contains("cannot be listed"), "{}", refused.1);
    Ok(())
}

/// An account that may read, and change hot-switch's Leases: a person's.
fn reader() -> Vec<Value> {
    let role = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "reader"});
    let subjects = json!([{"kind": "ServiceAccount", "name": "reader", "namespace": "shop"}]);
    let named = |kind: &str, space: Option<&str>| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "reader", "namespace": space}})
    };
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": "shop"}}),
        named("ClusterRole", None),
        named("ClusterRoleBinding", None),
        named("Role", Some(OWN)),
        named("RoleBinding", Some(OWN)),
    ];
    all[1]["rules"] = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]);
    all[2]["roleRef"] = role("ClusterRole");
    all[3]["rules"] = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["patch"]}]);
    all[4]["roleRef"] = role("Role");
    for binding in [2, 4] {
        all[binding]["subjects"] = subjects.clone();
    }
    all
}

/// What the program says as this account, and its exit code.
fn said(server: &ApiServer, words: &[&str], account: &Account) -> Result<(Option<i32>, String)> {
    let log = server.log("hot-switch");
    let before = fs::metadata(&log).map_or(0, |log| log.len());
    let status = server.run(Path::new(env!("CARGO_BIN_EXE_hot-switch")), words, account)?.wait()?;
    let all = fs::read(&log)?;
    let new = all.get(usize::try_from(before)?..).context("the log became shorter")?;
    Ok((status.code(), String::from_utf8_lossy(new).into_owned()))
}

/// Much of the mesh fails at once: nothing is bypassed before a person says so, and then what is wished is.
pub(crate) fn all_failed(server: &ApiServer, agent: &Account, controller: &Account) -> Result<()> {
    let names: Vec<String> = (1..=6).map(|number| format!("till-{number}")).collect();
    for name in &names {
        run(server, &pod(name, "act"))?;
    }
    let failing: Vec<String> = names.iter().map(|name| format!("shop/{name}")).collect();
    let failing: Vec<&str> = failing.iter().map(String::as_str).collect();
    let wished = &failing[..2];
    with_controller(server, controller, || {
        let lease = Lease::create(server, agent)?;
        let both = |refused: Option<&str>| {
            until(&format!("both: {refused:?}"), || {
                lease.say(21, wished, &failing)?;
                Ok(wished.iter().all(|pod| lease.is_answered(pod, 21, refused).unwrap_or(false)))
            })
        };
        both(Some("breaker"))?;
        let reader = server.account("shop", "reader")?;
        let (code, text) = said(server, &["bypass", "--all-failed"], &reader)?;
        ensure!(code == Some(0) && text.contains("told to the controller"), "{code:?}: {text}");
        both(None)?;
        for name in &names[..2] {
            let pod = server.get(&format!("/api/v1/namespaces/shop/pods/{name}"))?;
            ensure!(pod["metadata"]["labels"][TLS] == "disabled", "{name} is granted and its callers not told: {pod}");
        }
        let pod = server.get(&format!("/api/v1/namespaces/shop/pods/{}", names[2]))?;
        ensure!(pod["metadata"]["labels"][TLS] == "istio", "what nobody wished is bypassed: {pod}");
        lease.say(0, &[], &[])
    })
}
