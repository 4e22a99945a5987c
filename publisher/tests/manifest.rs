//! The resources that `manifest` writes: they say what they should, and the API server's own schemas accept them.
//!
//! The schemas are Istio's CustomResourceDefinitions, looked for where `FAULTLINE_CRDS` says, else in `shared/crds` beside the
//! workspace; without them those tests say that they skip. An API server silently drops fields that a schema does not know, so
//! the check here is stricter: such a field is an error.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::registry::FakeRegistry;
use support::{run, run_with_input, workplace};

const IMAGE: &str = "ghcr.io/acme/faultline:1.0";
const PINNED: &str =
    "ghcr.io/acme/faultline:1.0@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn offline(reference: &str, more: &[&str]) -> Value {
    let dir = workplace();
    let ran = run(dir.path(), &[&["manifest", reference, "--offline"][..], more].concat()).exits(0);
    assert!(ran.stdout.starts_with("# faultline: "), "{}", ran.stdout);
    serde_saphyr::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stdout))
}

#[test]
fn the_digest_is_the_one_that_the_registry_has() {
    let (dir, registry) = (workplace(), FakeRegistry::start());
    let reference = registry.reference("1.0");
    run(dir.path(), &["push", &reference, "--wasm", "plugin.wasm"]).exits(0);
    let ran = run(dir.path(), &["manifest", &reference, "--namespace", "shop"]).exits(0);
    let resource: Value = serde_saphyr::from_str(&ran.stdout).unwrap();
    assert_eq!(resource["kind"], "WasmPlugin");
    assert_eq!(resource["metadata"], serde_json::json!({"name": "faultline", "namespace": "shop"}));
    let spec = &resource["spec"];
    assert_eq!(spec["url"], format!("oci://{reference}"));
    assert_eq!(format!("sha256:{}", spec["sha256"].as_str().unwrap()), registry.tag("1.0").unwrap());
    assert_eq!(spec["match"], serde_json::json!([{"mode": "CLIENT"}]));
    assert_eq!((&spec["failStrategy"], &spec["pluginName"]), (&"FAIL_OPEN".into(), &"faultline".into()));
    // A mesh could not pull from there.
    assert!(ran.stderr.contains("warning"), "{}", ran.stderr);

    run(dir.path(), &["manifest", &registry.reference("absent")]).fails_with(&["404", "absent"]);
}

#[test]
fn a_layout_needs_the_name_under_which_the_mesh_will_pull() {
    let dir = workplace();
    let pushed = run(dir.path(), &["push", "oci:out:1.0", "--wasm", "plugin.wasm", "--output", "json"]).exits(0).json();
    run(dir.path(), &["manifest", "oci:out:1.0"]).refuses_usage_with(&["oci:out:1.0", "--image"]);
    run(dir.path(), &["manifest", "oci:out:1.0", "--image", "oci:x:1"]).refuses_usage_with(&["--image"]);
    run(dir.path(), &["manifest", IMAGE, "--image", IMAGE]).refuses_usage_with(&["--image"]);
    let resource = run(dir.path(), &["manifest", "oci:out:1.0", "--image", IMAGE, "--output", "json"]).exits(0).json();
    assert_eq!(resource["spec"]["url"], format!("oci://{IMAGE}"));
    assert_eq!(format!("sha256:{}", resource["spec"]["sha256"].as_str().unwrap()), pushed["digest"].as_str().unwrap());
}

#[test]
fn offline_pins_what_is_written_and_nothing_else() {
    assert_eq!(offline(PINNED, &[])["spec"]["sha256"], "a".repeat(64));
    assert_eq!(offline(IMAGE, &[])["spec"].get("sha256"), None);
    assert_eq!(offline(PINNED, &[])["spec"]["url"], format!("oci://{IMAGE}"));
}

#[test]
fn a_configuration_is_carried_over_once_it_is_right() {
    let dir = workplace();
    let with = |config: &str| {
        run_with_input(dir.path(), &["manifest", IMAGE, "--offline", "--config", "-"], config.as_bytes())
    };
    let config = r#"{"clusters": [{"match": "outbound|80||*", "outlierDetection": {"interval": "5s"}}]}"#;
    let resource: Value = serde_saphyr::from_str(&with(config).exits(0).stdout).unwrap();
    assert_eq!(resource["spec"]["pluginConfig"], serde_json::from_str::<Value>(config).unwrap());
    let refused = with(r#"{"outlierDetection": {"interval": 5}}"#).exits(3);
    assert_eq!(refused.stdout, "");
    assert!(refused.stderr.contains("outlierDetection.interval"));
    let resource: Value = serde_saphyr::from_str(&with("").exits(0).stdout).unwrap();
    assert_eq!(resource["spec"].get("pluginConfig"), None);
}

#[test]
fn waypoints_and_other_targets_get_no_match() {
    let spec = &offline(IMAGE, &["--waypoint"])["spec"];
    assert_eq!(spec.get("match"), None);
    assert_eq!(
        spec["targetRefs"],
        serde_json::json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}])
    );
    let spec = &offline(IMAGE, &["--target-ref", "Service/cart", "--waypoint=edge"])["spec"];
    assert_eq!(spec["targetRefs"].as_array().unwrap().len(), 2);
    let dir = workplace();
    run(dir.path(), &["manifest", IMAGE, "--offline", "--waypoint", "--selector", "a=b"]).exits(2);
    run(dir.path(), &["manifest", IMAGE, "--offline", "--target-ref", "Pod/x"])
        .refuses_usage_with(&["Pod/x", "Gateway"]);
    run(dir.path(), &["manifest", IMAGE, "--offline", "--namespace", "a.b"])
        .refuses_usage_with(&["--namespace `a.b`", "letters, digits and `-`,"]);
    run(dir.path(), &["manifest", IMAGE, "--offline", "--name", "Not_A_Name"])
        .refuses_usage_with(&["--name `Not_A_Name`"]);
}

#[test]
fn the_schemas_of_the_mesh_accept_every_variant() {
    let Some(crds) = crds() else {
        eprintln!("skipped: set FAULTLINE_CRDS to a directory with Istio's CustomResourceDefinitions");
        return;
    };
    let dir = workplace();
    std::fs::write(dir.path().join("c.json"), r#"{"witness": {"cluster": "prometheus_stats"}, "logLevel": "debug"}"#)
        .unwrap();
    let config = dir.path().join("c.json");
    let variants: [&[&str]; 5] = [
        &[],
        &["--namespace", "istio-system", "--pull-secret", "registry", "--phase", "stats", "--priority", "-5"],
        &["--selector", "app=cart", "--selector", "istio.io/rev=true", "--config", config.to_str().unwrap()],
        &["--waypoint", "--phase", "AUTHZ"],
        &["--target-ref", "Service/cart", "--target-ref", "ServiceEntry/out", "--target-ref", "GatewayClass/istio"],
    ];
    for (kind, file) in [("WasmPlugin", "wasmplugins"), ("TrafficExtension", "trafficextensions")] {
        let text = std::fs::read_to_string(crds.join(format!("{file}.extensions.istio.io.yaml"))).unwrap();
        let crd: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(crd["spec"]["names"]["kind"], kind);
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        for reference in [IMAGE, PINNED] {
            for variant in variants {
                let resource = offline(reference, &[&["--kind", kind][..], variant].concat());
                assert_eq!(resource["kind"], kind);
                assert_eq!(resource["apiVersion"], "extensions.istio.io/v1alpha1");
                accepts(schema, &resource["spec"], "spec");
            }
        }
    }
}

fn crds() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    match std::env::var_os("FAULTLINE_CRDS") {
        Some(named) => Some(named.into()),
        None => beside.is_dir().then_some(beside),
    }
}

/// Checks a value against the parts of OpenAPI that these schemas use.
fn accepts(schema: &Value, value: &Value, at: &str) {
    let number = |key: &str| schema.get(key).and_then(Value::as_u64);
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
    };
    assert_eq!(schema["type"], kind, "{at}");
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value} is none of {allowed:?}");
    }
    match value {
        Value::String(text) => {
            assert!(text.len() as u64 >= number("minLength").unwrap_or(0), "{at}: too short");
            assert!(text.len() as u64 <= number("maxLength").unwrap_or(u64::MAX), "{at}: too long");
            if let Some(pattern) = schema["pattern"].as_str() {
                assert!(regex::Regex::new(pattern).unwrap().is_match(text), "{at}: {text} does not match {pattern}");
            }
        }
        Value::Array(items) => {
            assert!(items.len() as u64 <= number("maxItems").unwrap_or(u64::MAX), "{at}: too many");
            items.iter().enumerate().for_each(|(i, item)| accepts(&schema["items"], item, &format!("{at}[{i}]")));
        }
        Value::Object(fields) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(required.as_str().unwrap()), "{at}.{required} is missing");
            }
            for (name, field) in fields {
                let at = format!("{at}.{name}");
                match (schema["properties"].get(name), schema.get("additionalProperties")) {
                    (Some(known), _) | (None, Some(known)) => accepts(known, field, &at),
                    (None, None) => {
                        assert_eq!(schema["x-kubernetes-preserve-unknown-fields"], true, "{at}: no such field");
                    }
                }
            }
        }
        _ => {}
    }
}
