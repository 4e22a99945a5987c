//! Tests of the policies in `deploy/policy`: their CEL, evaluated against what `faultline manifest` writes.
//!
//! The evaluator is the crate `cel`, not Kubernetes' own; no API server and no Kyverno runs here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::schema::evaluate_to_json;
use crate::support::run;
use serde_json::{Map, Value, json};

const OURS: &str = "registry.example.com/mesh/faultline:0.1.0";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// The messages with which the policy refuses a resource.
fn refusals(resource: &Value) -> Vec<String> {
    let policy = &documents("validatingadmissionpolicy.yaml")[0]["spec"];
    let mut variables = Map::new();
    for variable in policy["variables"].as_array().unwrap() {
        let given = json!({"object": resource, "variables": variables});
        let value = evaluate_to_json(variable["expression"].as_str().unwrap(), &given);
        variables.insert(variable["name"].as_str().unwrap().to_owned(), value.unwrap());
    }
    let given = json!({"object": resource, "variables": variables});
    let holds = |rule: &&Value| evaluate_to_json(rule["expression"].as_str().unwrap(), &given).unwrap() == true;
    let rules = policy["validations"].as_array().unwrap();
    rules.iter().filter(|rule| !holds(rule)).map(|rule| rule["message"].as_str().unwrap().to_owned()).collect()
}

/// What `faultline manifest` writes.
fn written(reference: &str, more: &[&str]) -> Value {
    let args = [&["manifest", reference, "--offline", "--output", "json"][..], more].concat();
    run(&folder(), &args).json()
}

#[test]
fn modules_of_the_registry_by_digest_are_admitted_in_every_kind() {
    let pinned = format!("{OURS}@{DIGEST}");
    for kind in [
        &[][..],
        &["--kind", "TrafficExtension", "--namespace", "shop"],
        &["--kind", "EnvoyFilter"],
        &["--kind", "EnvoyFilter", "--position", "lean", "--selector", "app=cart"],
        &["--kind", "EnvoyExtensionPolicy", "--target-ref", "Gateway/edge"],
    ] {
        assert_eq!(refusals(&written(&pinned, kind)), [""; 0], "{kind:?}");
    }
    // Others' resources that load no module.
    let removal = json!({"configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "REMOVE"}}]});
    for resource in [
        json!({"kind": "TrafficExtension", "spec": {"lua": {}}}),
        json!({"kind": "EnvoyFilter", "spec": removal}),
        json!({"kind": "EnvoyFilter", "spec": {}}),
        json!({"kind": "EnvoyExtensionPolicy", "spec": {"extProc": []}}),
    ] {
        assert_eq!(refusals(&resource), [""; 0], "{resource}");
    }
}

#[test]
fn a_tag_alone_and_another_registry_are_refused_in_every_kind() {
    let foreign = format!("elsewhere.example.com/mesh/faultline:0.1.0@{DIGEST}");
    // A name that begins alike is another registry.
    let alike = format!("registry.example.com.evil.net/mesh/faultline:0.1.0@{DIGEST}");
    let gateway = ["--kind", "EnvoyExtensionPolicy", "--target-ref", "Gateway/edge"];
    for kind in [&[][..], &["--kind", "TrafficExtension"], &gateway] {
        let refused = refusals(&written(OURS, kind));
        assert!(refused.len() == 1 && refused[0].contains("digest"), "{kind:?}: {refused:?}");
    }
    for kind in [&[][..], &["--kind", "TrafficExtension"], &["--kind", "EnvoyFilter"], &gateway] {
        for reference in [&foreign, &alike] {
            let refused = refusals(&written(reference, kind));
            assert!(refused.len() == 1 && refused[0].contains("come from"), "{reference} {kind:?}: {refused:?}");
        }
    }
    for spec in [
        json!({"url": format!("https://registry.example.com/mesh/f.wasm#@{DIGEST}")}),
        json!({"url": format!("registry.example.com/mesh/faultline@{DIGEST}")}),
        json!({"url": "file:///var/f.wasm", "sha256": DIGEST}),
    ] {
        assert_ne!(refusals(&json!({"kind": "WasmPlugin", "spec": spec})), [""; 0], "{spec}");
    }
}

#[test]
fn the_signature_policy_finds_the_module_of_each_kind() {
    let policy = &documents("kyverno.yaml")[0];
    let images = policy.pointer("/spec/images/0/expression").and_then(Value::as_str).unwrap();
    let pinned = format!("{OURS}@{DIGEST}");
    for kind in ["WasmPlugin", "TrafficExtension"] {
        let given = json!({"object": written(&pinned, &["--kind", kind])});
        assert_eq!(evaluate_to_json(images, &given).unwrap(), json!([pinned]), "{kind}");
    }
    let glob = policy.pointer("/spec/matchImageReferences/0/glob").and_then(Value::as_str).unwrap();
    assert!(pinned.starts_with(glob.trim_end_matches('*')), "{glob}");
    // Both policies speak of the same registry.
    let registry = documents("validatingadmissionpolicy.yaml")[0].pointer("/spec/variables/0/expression").cloned();
    assert_eq!(registry, Some(json!(format!("\"oci://{}\"", glob.trim_end_matches('*')))));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/policy")
}

fn documents(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{file}: {e}"))
}
