//! hot-switch at a real kube-apiserver, where one is built: what its accounts may do, what the admission policies let
//! the controller change and agents ask, what the controller does with a wish, and its Events. No kubelet, and no pod
//! that runs.

mod mesh_at_work;
mod pods;
mod words;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hot_switch::cluster::notices::Notices;
use hot_switch::told::notice::Notice;
use lab::istio::{Account, ApiServer, Branch, obstacle_to_api_server};
use lab::skip::{Tool, skip};
use pods::{OWN, REAL, STAND_IN, TLS, note, pod, run, until};
use serde_json::{Value, json};

const TUNNEL: &str = "networking.istio.io/tunnel";
/// The agent's own pod, on the node of the others.
const AGENT_POD: &str = "hot-switch-agent-x";

/// A file of `deploy/hot-switch`, as kustomize builds it.
fn manifests(file: &str) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/hot-switch").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut all: Vec<Value> = serde_saphyr::from_multiple(&text.replace("set-by-kustomization", STAND_IN))?;
    for object in &mut all {
        let kind = object["kind"].as_str().unwrap_or_default();
        if ["ServiceAccount", "Role", "RoleBinding"].contains(&kind) {
            object["metadata"]["namespace"] = OWN.into();
        }
    }
    Ok(all)
}

/// An API server with hot-switch's manifests, and pods.
fn cluster() -> Result<ApiServer> {
    let server = ApiServer::start(Branch::V1_31)?;
    let space = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    for name in [OWN, "shop", "kube-system"] {
        server.apply(&space(name))?;
    }
    for file in ["accounts.yaml", "admission.yaml"] {
        for object in manifests(file)? {
            server.apply(&object)?;
        }
    }
    let account = |space: &str| {
        let metadata = json!({"name": "default", "namespace": space});
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    };
    server.apply(&account("shop"))?;
    server.apply(&account("kube-system"))?;
    for (name, mode) in [("cart-1", "act"), ("cart-2", "report")] {
        run(&server, &pod(name, mode))?;
    }
    // One whose callers use the tunnel, and one that the injector's labels were taken from.
    let mut with_tunnel = pod("cart-3", "act");
    with_tunnel["metadata"]["labels"][TUNNEL] = "http".into();
    run(&server, &with_tunnel)?;
    let mut bare = pod("cart-4", "act");
    bare["metadata"]["labels"] = json!({"app": "cart"});
    run(&server, &bare)?;
    let mut agent = pod(AGENT_POD, "off");
    agent["metadata"]["namespace"] = OWN.into();
    agent["spec"]["serviceAccountName"] = "hot-switch-agent".into();
    server.apply(&agent)?;
    let mut of_system = pod("dns", "act");
    of_system["metadata"]["namespace"] = "kube-system".into();
    server.apply(&of_system)?;
    Ok(server)
}

#[test]
fn hot_switch_at_a_real_api_server() -> Result<()> {
    if let Some(why) = obstacle_to_api_server(Branch::V1_31) {
        skip("hot-switch at a real kube-apiserver", Tool::Optional, &why);
        return Ok(());
    }
    let server = cluster()?;
    let (agent, controller) =
        (server.account_in_pod(OWN, "hot-switch-agent", AGENT_POD)?, server.account(OWN, "hot-switch-controller")?);
    rights(&agent, &controller).context("what the accounts may do")?;
    policy(&server, &controller).context("what the policy lets the controller change")?;
    of_its_node(&server, &agent).context("which Leases the policy lets an agent write")?;
    wishes(&server, &agent, &controller).context("what the controller does with wishes")?;
    events(&server, &agent).context("Events")?;
    mesh_at_work::policies(&server, &agent, &controller).context("Istio's policies that are there")?;
    mesh_at_work::live(&server).context("check --live")?;
    mesh_at_work::all_failed(&server, &agent, &controller).context("bypass --all-failed")
}

/// What roles allow: nothing but what is needed.
fn rights(agent: &Account, controller: &Account) -> Result<()> {
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"}});
    let leases = |space: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{space}/leases");
    let policies = "/apis/security.istio.io/v1/peerauthentications";
    let nothing = json!({});
    let cases: [(&Account, &str, &str, &Value, bool); 20] = [
        (agent, "GET", "/api/v1/pods", &nothing, true),
        (agent, "GET", "/api/v1/nodes/n1", &nothing, true),
        (agent, "GET", "/api/v1/nodes", &nothing, false),
        (agent, "GET", "/api/v1/namespaces", &nothing, true),
        (agent, "GET", &leases(OWN), &nothing, false),
        (controller, "GET", "/api/v1/nodes", &nothing, false),
        (agent, "POST", &leases(OWN), &lease, true),
        (agent, "POST", &leases("shop"), &lease, false),
        (agent, "PATCH", "/api/v1/namespaces/shop/pods/cart-1", &nothing, false),
        (agent, "DELETE", "/api/v1/namespaces/shop/pods/cart-1", &nothing, false),
        (agent, "GET", "/api/v1/secrets", &nothing, false),
        (agent, "POST", "/api/v1/namespaces/shop/pods/cart-1/exec", &nothing, false),
        (agent, "GET", policies, &nothing, false),
        (controller, "GET", "/api/v1/pods", &nothing, true),
        (controller, "GET", &leases(OWN), &nothing, true),
        (controller, "GET", &leases("shop"), &nothing, false),
        (controller, "DELETE", "/api/v1/namespaces/shop/pods/cart-1", &nothing, false),
        (controller, "POST", "/api/v1/namespaces/shop/pods", &nothing, false),
        (controller, "GET", "/api/v1/secrets", &nothing, false),
        (controller, "GET", "/api/v1/namespaces/shop/configmaps/other", &nothing, false),
    ];
    for (who, method, path, object, allowed) in cases {
        let (status, text) = who.ask(method, path, object)?;
        ensure!((status != 403) == allowed, "{method} {path}: {status}: {text}");
    }
    // This server has no such kind, and says so to whoever may list it.
    let (status, text) = controller.ask("GET", policies, &nothing)?;
    ensure!(status == 404, "{policies}: {status}: {text}");
    Ok(())
}

/// What the admission policy allows: the steps of a bypass, and nothing else.
fn policy(server: &ApiServer, controller: &Account) -> Result<()> {
    let change = |pod: &str, change: &Value| controller.ask("PATCH", &format!("/api/v1/namespaces/{pod}"), change);
    let image = |container: &str, image: &str| json!({"spec": {"containers": [{"name": container, "image": image}]}});
    let noted = |notes: Value| json!({"metadata": {"annotations": notes}});
    let grant = json!({"metadata": {"labels": {TLS: "disabled"}, "annotations": {note("granted-at"): "7",
        note("why"): "proxy_dead", note("original-tls-mode"): "istio"}}});
    // A policy holds a moment after it was made.
    until("the policy", || Ok(change("shop/pods/cart-1?dryRun=All", &image("cart", "evil"))?.0 == 422))?;
    let abuses = [
        ("another image of the application", "shop/pods/cart-1", image("cart", "evil")),
        ("another image of the proxy", "shop/pods/cart-1", image("istio-proxy", "evil")),
        ("the stand-in without a record", "shop/pods/cart-1", image("istio-proxy", STAND_IN)),
        ("another label", "shop/pods/cart-1", json!({"metadata": {"labels": {"app": "till"}}})),
        ("the owner's consent", "shop/pods/cart-2", noted(json!({note("mode"): "act"}))),
        ("an annotation of another", "shop/pods/cart-1", noted(json!({"kubectl.kubernetes.io/x": "y"}))),
        ("a pod that did not opt in", "shop/pods/cart-2", grant.clone()),
        ("a pod of the system", "kube-system/pods/dns", grant.clone()),
        ("a finalizer", "shop/pods/cart-1", json!({"metadata": {"finalizers": ["x.example.com/y"]}})),
    ];
    for (what, pod, abuse) in &abuses {
        let (status, text) = change(pod, abuse)?;
        let is_denied = status == 422 && text.contains("ValidatingAdmissionPolicy 'faultline-hot-switch'");
        ensure!(is_denied, "{what} is not denied: {status}: {text}");
    }
    let with_image = json!({"metadata": {"annotations": {note("original-image"): REAL}},
        "spec": {"containers": [{"name": "istio-proxy", "image": STAND_IN}]}});
    let back = json!({"metadata": {"labels": {TLS: "istio"}, "annotations": {note("granted-at"): null,
        note("why"): null, note("original-tls-mode"): null, note("original-image"): null}},
        "spec": {"containers": [{"name": "istio-proxy", "image": REAL}]}});
    for (step, patch) in [("the grant", &grant), ("the stand-in", &with_image), ("the end", &back)] {
        let (status, text) = change("shop/pods/cart-1", patch)?;
        ensure!(status == 200, "{step} is denied: {status}: {text}");
    }
    let pod = server.get("/api/v1/namespaces/shop/pods/cart-1")?;
    ensure!(pod["metadata"]["annotations"] == json!({note("mode"): "act"}), "something is left: {pod}");
    Ok(())
}

/// An agent asks by the Lease of its node, and by no other.
fn of_its_node(server: &ApiServer, agent: &Account) -> Result<()> {
    let path = |name: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases/{name}");
    let noted = |name: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": OWN, "annotations": {note("asks"): "{}"}}})
    };
    let denies = |status: u16, text: &str| {
        status == 422 && text.contains("ValidatingAdmissionPolicy 'faultline-hot-switch-agent'")
    };
    for name in ["n2", "hot-switch-controller"] {
        server.apply(&noted(name))?;
        until(&format!("the policy denies {name}"), || {
            let (status, text) = agent.ask("PATCH", &path(name), &json!({"metadata": {"annotations": {"x": "y"}}}))?;
            Ok(denies(status, &text))
        })?;
        server.delete(&path(name))?;
    }
    let unbound = server.account(OWN, "hot-switch-agent")?;
    let all = format!("/apis/coordination.k8s.io/v1/namespaces/{OWN}/leases");
    let (status, text) = unbound.ask("POST", &all, &noted("n1"))?;
    ensure!(denies(status, &text), "a token that names no node: {status}: {text}");
    Ok(())
}

/// The real controller, and an agent's Lease as the agent writes it.
fn wishes(server: &ApiServer, agent: &Account, controller: &Account) -> Result<()> {
    words::with_controller(server, controller, || wish_and_end(server, agent))
}

fn wish_and_end(server: &ApiServer, agent: &Account) -> Result<()> {
    let lease = words::Lease::create(server, agent)?;
    let pod = |name: &str| server.get(&format!("/api/v1/namespaces/shop/pods/{name}"));
    // No policy is there, so no second consent is needed. An agent says again what it wants: so it shows that it
    // lives.
    until("the grant", || {
        lease.say(7, &["shop/cart-1", "shop/cart-2"], &[])?;
        Ok(pod("cart-1")?["metadata"]["labels"][TLS] == "disabled")
    })?;
    until("the stand-in", || Ok(pod("cart-1")?["spec"]["containers"][1]["image"] == STAND_IN))?;
    until("the answers", || {
        let answers = lease.answers()?;
        Ok(answers.contains(r#""pod":"shop/cart-1","since":7,"refused":null"#) && answers.contains("report_only"))
    })?;
    let is_as_before = |name: &str, labels: &Value| -> Result<bool> {
        let pod = pod(name)?;
        let is_back = pod["spec"]["containers"][1]["image"] == REAL && pod["metadata"]["labels"] == *labels;
        Ok(is_back && pod["metadata"]["annotations"] == json!({note("mode"): "act"}))
    };
    lease.say(7, &[], &[])?;
    until("the end", || is_as_before("cart-1", &json!({"app": "cart", TLS: "istio"})))?;
    // The tunnel goes with the label and comes back with it; a pod that has neither gets neither.
    let cases = [
        ("cart-3", json!({"app": "cart", TLS: "istio", TUNNEL: "http"}), json!({"app": "cart", TLS: "disabled"})),
        ("cart-4", json!({"app": "cart"}), json!({"app": "cart"})),
    ];
    for (name, before, meanwhile) in cases {
        until(&format!("the grant of {name}"), || {
            lease.say(7, &[&format!("shop/{name}")], &[])?;
            let pod = pod(name)?;
            let is_granted = pod["metadata"]["annotations"][note("granted-at")] == "7";
            Ok(is_granted && pod["metadata"]["labels"] == meanwhile)
        })?;
        lease.say(7, &[], &[])?;
        until(&format!("the end of {name}"), || is_as_before(name, &before))?;
    }
    Ok(())
}

/// An agent's Events are on its pod, and the same one again is counted.
fn events(server: &ApiServer, agent: &Account) -> Result<()> {
    let pod = server.get("/api/v1/namespaces/shop/pods/cart-1")?;
    let uid = pod["metadata"]["uid"].as_str().context("a UID")?.to_owned();
    let path = "/apis/events.k8s.io/v1/namespaces/shop/events";
    let found = || -> Result<Vec<Value>> {
        let mut all = server.get(path)?["items"].as_array().cloned().unwrap_or_default();
        all.retain(|event| event["reason"] == "ProxyBypassed");
        Ok(all)
    };
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&server.kubeconfig(agent))?;
    server.inside(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Its thread is born here, and so are the connections.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let notices = runtime.block_on(async {
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            anyhow::Ok(Notices::start(kube::Client::try_from(config)?, "n1", |error| eprintln!("{error}")))
        })?;
        let note = "the proxy is dead".to_owned();
        let notice = Notice { is_warning: true, reason: "ProxyBypassed", action: "Bypass", note };
        notices.say("shop/cart-1", &uid, notice.clone());
        notices.say("shop/cart-1", &uid, notice);
        until("the Event, counted twice", || Ok(found()?.first().is_some_and(|event| event["series"]["count"] == 2)))?;
        let all = found()?;
        ensure!(all.len() == 1, "it is there more than once: {all:?}");
        ensure!(all[0]["regarding"]["uid"] == uid.as_str(), "it is on another pod: {}", all[0]);
        ensure!(all[0]["type"] == "Warning" && all[0]["note"] == "the proxy is dead", "{}", all[0]);
        ensure!(all[0]["reportingInstance"] == "n1", "{}", all[0]);
        Ok(())
    })
}
