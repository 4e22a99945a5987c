//! Tests that the meshes' schemas accept what `manifest` writes, in every variant. They check types, required and
//! unknown fields, and the rules in CEL, the language in which API servers evaluate the rest.
//!
//! [`crate::schema`] explains where the schemas come from and how they are walked.

use crate::schema::{Rules, crd, crds};
use crate::support::{run, workplace};
use serde_json::{Value, json};

const IMAGE: &str = "ghcr.io/acme/faultline:1.0";
const PINNED: &str =
    "ghcr.io/acme/faultline:1.0@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Each kind as `--kind` takes it, the file that defines it, and its variants.
const KINDS: [(&str, &str, &[&[&str]]); 6] = [
    ("WasmPlugin", "wasmplugins.extensions.istio.io", ISTIO),
    ("TrafficExtension", "trafficextensions.extensions.istio.io", ISTIO),
    ("EnvoyFilter", "envoyfilters.networking.istio.io", DISCOVERY),
    ("EnvoyFilter", "envoyfilters.networking.istio.io", UPSTREAM_LOG),
    ("EnvoyExtensionPolicy", "envoyextensionpolicies.gateway.envoyproxy.io", GATEWAY),
    ("HigressWasmPlugin", "higress", HIGRESS),
];

const ISTIO: &[&[&str]] = &[
    &[],
    &["--namespace", "istio-system", "--pull-secret", "registry", "--phase", "stats", "--priority", "-5"],
    &["--selector", "app=cart", "--selector", "istio.io/rev=true", "--config", "c.json", "--with-stats"],
    &["--waypoint", "--phase", "AUTHZ", "--image-pull-policy", "Always"],
    &["--target-ref", "Service/cart", "--target-ref", "ServiceEntry/out", "--target-ref", "GatewayClass/istio"],
];
const DISCOVERY: &[&[&str]] = &[
    &[],
    &["--namespace", "shop", "--selector", "app=cart", "--config", "c.json", "--with-stats"],
    &["--target-ref", "Gateway/edge"],
];
const UPSTREAM_LOG: &[&[&str]] = &[
    &["--position", "lean", "--selector", "app=cart"],
    &["--position", "upstream-log", "--selector", "app=cart"],
    &["--position", "upstream-log", "--target-ref", "Gateway/edge", "--config", "c.json", "--module", "/m/f.wasm"],
];
const GATEWAY: &[&[&str]] = &[
    &["--target-ref", "Gateway/edge"],
    &["--target-ref", "HTTPRoute/cart", "--target-ref", "GRPCRoute/x", "--target-ref", "ListenerSet/y"],
    &[
        "--target-ref",
        "Gateway/edge",
        "--pull-secret",
        "s",
        "--config",
        "c.json",
        "--image-pull-policy",
        "ifnotpresent",
    ],
];
const HIGRESS: &[&[&str]] = &[
    &[],
    &[
        "--pull-secret",
        "s",
        "--config",
        "c.json",
        "--phase",
        "authn",
        "--priority",
        "7",
        "--image-pull-policy",
        "Always",
    ],
];

#[test]
fn every_variant_of_every_kind_is_accepted() {
    let Some(crds) = crds() else { return };
    let dir = workplace();
    std::fs::write(dir.path().join("c.json"), r#"{"witness": {"cluster": "prometheus_stats"}, "logLevel": "debug"}"#)
        .unwrap();
    let mut rules = Rules::default();
    for (kind, file, variants) in KINDS {
        let Some(crd) = crd(&crds, file, if kind == "HigressWasmPlugin" { "WasmPlugin" } else { kind }) else {
            continue;
        };
        for variant in variants {
            for reference in [IMAGE, PINNED] {
                if kind == "EnvoyFilter" && reference == IMAGE && !variant.contains(&"--position") {
                    continue; // it must have a digest
                }
                let args = [&["manifest", reference, "--offline", "--kind", kind][..], variant].concat();
                let text = run(dir.path(), &args).stdout;
                let resource: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                let problems = rules.problems(&crd, &resource);
                assert!(problems.is_empty(), "{kind} {variant:?}: {problems:#?}\n{text}");
            }
        }
    }
    assert!(rules.evaluated > 40, "only {} rules were evaluated", rules.evaluated);
    assert!(rules.not_evaluated.is_empty(), "rules that could not be evaluated: {:#?}", rules.not_evaluated);
}

#[test]
fn what_an_api_server_refuses_is_refused_here_too() {
    let Some(crds) = crds() else { return };
    let plugin = &crd(&crds, "wasmplugins.extensions.istio.io", "WasmPlugin");
    let policy = &crd(&crds, "envoyextensionpolicies.gateway.envoyproxy.io", "EnvoyExtensionPolicy");
    let patches = &crd(&crds, "envoyfilters.networking.istio.io", "EnvoyFilter");
    let image = |kind: &str| {
        json!({
            "type": "Image", "image": {"url": "oci://a/b:1", "pullSecretRef": {"name": "s", "kind": kind}},
        })
    };
    let to = |kind: &str| json!([{"group": "gateway.networking.k8s.io", "kind": kind, "name": "x"}]);
    let label = json!({"matchLabels": {"a": "b"}});
    let matches = |matched: Value| json!({"configPatches": [{"applyTo": "HTTP_FILTER", "match": matched}]});
    let cases = [
        (
            plugin,
            json!({"url": "oci://a/b:1", "targetRefs": to("Gateway"), "selector": label}),
            "only one of targetRefs",
        ),
        (plugin, json!({"url": "ftp://a/b:1"}), "url must have schema"),
        (plugin, json!({"url": "oci://a/b:1", "selector": {"matchLabels": {"a": "b*"}}}), "wildcard"),
        (plugin, json!({"url": "oci://a/b:1", "sha256": "sha256:aa"}), "does not match"),
        (plugin, json!({"url": "oci://a/b:1", "failOpen": true}), "spec.failOpen: no such field"),
        (plugin, json!({"url": "oci://a/b:1", "failStrategy": "OPEN"}), "none of"),
        (plugin, json!({}), "spec.url is missing"),
        (plugin, json!({"url": "oci://a/b:1", "priority": "1"}), "spec.priority"),
        (policy, json!({"wasm": []}), "targetRefs must be used"),
        (policy, json!({"targetRefs": to("Service")}), "targetRefs[*].kind"),
        (policy, json!({"targetRefs": to("Gateway"), "wasm": [{"code": image("ConfigMap")}]}), "only support Secret"),
        (policy, json!({"targetRefs": to("Gateway"), "wasm": [{"code": {"type": "Image"}}]}), "image field needs"),
        (patches, json!({"workloadSelector": {"labels": {"a": "*"}}}), "wildcard"),
        (patches, matches(json!({"context": "WAYPOINT", "listener": {}})), "waypointMatch"),
        (patches, matches(json!({"cluster": {}, "listener": {}})), "oneOf"),
    ];
    for (crd, spec, expected) in cases {
        let Some(crd) = crd else { continue };
        let version = crd["spec"]["versions"][0]["name"].as_str().unwrap();
        let api_version = format!("{}/{version}", crd["spec"]["group"].as_str().unwrap());
        let kind = &crd["spec"]["names"]["kind"];
        let resource = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec});
        let problems = Rules::default().problems(crd, &resource);
        assert!(problems.iter().any(|p| p.contains(expected)), "{spec}: no `{expected}` in {problems:?}");
    }
}
