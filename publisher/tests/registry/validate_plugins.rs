//! Tests the rules of `validate` that compare a plugin with other resources: faultline twice in the same proxies
//! (FL309), and a module from a file that selected workloads do not have (FL310).

use crate::support::{run, run_with_input};
use serde_json::Value;

/// Code, severity and resource of every finding of these rules, and whether it is sure.
fn found(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let told: Value = {
        let ran = run_with_input(dir.path(), &["validate", "-", "--output", "json"], text.as_bytes());
        ran.json()[0]["findings"].clone()
    };
    let of = |finding: &Value| {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        let sure = if text("problem").contains("where both") { " perhaps" } else { "" };
        format!("{} {} {}{sure}", text("code"), text("severity"), text("resource"))
    };
    let all = told.as_array().unwrap().iter();
    all.filter(|it| ["FL309", "FL310"].contains(&it["code"].as_str().unwrap())).map(of).collect()
}

/// A plugin of a kind in a namespace, with these fields of its spec.
fn plugin(kind: &str, namespace: &str, name: &str, more: &str) -> String {
    let code = "url: oci://r.example.com/faultline:1, failStrategy: FAIL_OPEN";
    let code = if kind == "WasmPlugin" { code.to_owned() } else { format!("wasm: {{{code}}}") };
    format!(
        "---\napiVersion: extensions.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: \
         {namespace}}}\nspec: {{{code}{more}}}\n"
    )
}

fn selector(labels: &str) -> String {
    format!(", selector: {{matchLabels: {{{labels}}}}}")
}

#[test]
fn two_plugins_in_the_same_proxies_are_found_by_namespace_and_selector() {
    let wasm = |namespace: &str, more: &str| plugin("WasmPlugin", namespace, "faultline", more);
    let extension = |namespace: &str, more: &str| plugin("TrafficExtension", namespace, "faultline", more);
    let both = |a: String, b: String| found(&format!("{a}{b}"));
    let sure = ["FL309 warning TrafficExtension shop/faultline"];
    let perhaps = ["FL309 warning TrafficExtension shop/faultline perhaps"];

    assert_eq!(both(wasm("shop", ""), extension("shop", "")), sure);
    assert_eq!(both(wasm("istio-system", ""), extension("shop", &selector("app: cart"))), sure);
    assert_eq!(both(wasm("bank", ""), extension("shop", "")), [""; 0]);
    assert_eq!(both(wasm("shop", &selector("app: cart")), extension("shop", &selector("app: cart, tier: a"))), sure);
    assert_eq!(both(wasm("shop", &selector("app: cart")), extension("shop", &selector("app: pay"))), [""; 0]);
    assert_eq!(both(wasm("shop", &selector("app: cart")), extension("shop", &selector("tier: a"))), perhaps);
    // Another direction, or another port, is other traffic.
    let (client, server) = (", match: [{mode: CLIENT}]", ", match: [{mode: SERVER}]");
    assert_eq!(both(wasm("shop", client), extension("shop", server)), [""; 0]);
    assert_eq!(both(wasm("shop", client), extension("shop", ", match: [{ports: [{number: 80}]}]")), sure);
    // The same resource twice is one, and another plugin is not ours.
    assert_eq!(both(wasm("shop", ""), wasm("shop", "")), [""; 0]);
    let other = plugin("WasmPlugin", "shop", "auth", "").replace("/faultline:1", "/auth:1");
    assert_eq!(both(other, extension("shop", "")), [""; 0]);
    // A root namespace of another name.
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: mesh}\n\
                data: {mesh: \"rootNamespace: mesh\"}\n";
    assert_eq!(both(mesh.to_owned() + &wasm("mesh", ""), extension("shop", "")), sure);
    assert_eq!(both(mesh.to_owned() + &wasm("istio-system", ""), extension("shop", "")), [""; 0]);
}

#[test]
fn an_envoy_filter_that_inserts_the_http_filter_is_a_plugin_like_others() {
    let written = |more: &[&str]| {
        let reference = format!("r.example.com/faultline:1@sha256:{}", "a".repeat(64));
        let args = ["manifest", &reference, "--offline", "--kind", "EnvoyFilter", "--namespace", "shop"];
        let text = run(&std::env::temp_dir(), &[&args[..], more].concat()).exits(0).stdout;
        format!("---\n{text}")
    };
    let wasm = |more: &str| plugin("WasmPlugin", "shop", "faultline", more);
    let twice = |text: String| found(&text).into_iter().filter(|it| it.starts_with("FL309")).collect::<Vec<_>>();
    let sure = ["FL309 warning EnvoyFilter shop/faultline"];
    assert_eq!(twice(wasm(", match: [{mode: CLIENT}]") + &written(&[])), sure);
    assert_eq!(twice(wasm(", match: [{mode: SERVER}]") + &written(&[])), [""; 0]);
    assert_eq!(twice(wasm(&selector("app: cart")) + &written(&["--selector", "app=cart"])), sure);
    assert_eq!(twice(wasm(&selector("app: cart")) + &written(&["--selector", "app=pay"])), [""; 0]);
    // The upstream log comes with the HTTP filter.
    let logged = written(&["--selector", "app=cart", "--position", "upstream-log"]);
    assert_eq!(twice(wasm(&selector("app: cart")) + &logged), sure);
}

/// What the findings say will happen.
fn at_run_time(text: &str) -> Vec<String> {
    let ran = run_with_input(&std::env::temp_dir(), &["validate", "-", "--output", "json"], text.as_bytes());
    let findings = ran.json()[0]["findings"].as_array().unwrap().clone();
    let of = findings.iter().filter(|finding| finding["code"] == "FL309");
    of.map(|finding| finding["atRunTime"].as_str().unwrap().split(',').next().unwrap().to_owned()).collect()
}

/// What `manifest` writes for a position, as a document among others.
fn positioned(kind: &str, position: &str, more: &[&str]) -> String {
    let reference = format!("r.example.com/faultline:1@sha256:{}", "a".repeat(64));
    let args = ["manifest", &reference, "--offline", "--kind", kind, "--position", position];
    format!("---\n{}", run(&std::env::temp_dir(), &[&args[..], more].concat()).exits(0).stdout)
}

#[test]
fn a_log_beside_a_filter_that_counts_is_found() {
    let twice = ["each error counts twice"];
    let cart = ["--namespace", "shop", "--selector", "app=cart"];
    let [lean, logged] = ["lean", "upstream-log"].map(|position| positioned("EnvoyFilter", position, &cart));
    let wasm = |more: &str| plugin("WasmPlugin", "shop", "faultline", &(selector("app: cart") + more));
    assert_eq!(at_run_time(&(wasm("") + &lean)), twice);
    assert_eq!(at_run_time(&(wasm("") + &logged)), twice);
    let log_alone = logged.replace("operation: INSERT_BEFORE", "operation: REMOVE");
    assert!(log_alone.contains("operation: MERGE"), "{log_alone}");
    assert_eq!(at_run_time(&(wasm("") + &log_alone)), twice);
    let other_name = lean.replace("  name: faultline\n  namespace", "  name: lean\n  namespace");
    assert_ne!(other_name, lean);
    assert_eq!(at_run_time(&(logged.clone() + &other_name)), twice, "two logs");
    // Each with nothing beside it, and a filter that leaves what it sees to the log.
    for alone in [&lean, &logged, &log_alone] {
        assert_eq!(at_run_time(alone), [""; 0]);
    }
    assert_eq!(at_run_time(&(wasm(", pluginConfig: {attempts: upstreamLog}") + &log_alone)), [""; 0]);
    // Other traffic, other proxies.
    assert_eq!(at_run_time(&(wasm(", match: [{mode: SERVER}]") + &lean)), [""; 0]);
    assert_eq!(at_run_time(&(plugin("WasmPlugin", "bank", "faultline", "") + &lean)), [""; 0]);
    let (before, after) = lean.split_once("context: GATEWAY").unwrap();
    let gateways = before.replace("SIDECAR_OUTBOUND", "GATEWAY") + "context: GATEWAY" + after;
    let sidecars = positioned("EnvoyFilter", "upstream-log", &cart).replace("GATEWAY", "SIDECAR_OUTBOUND");
    let sidecars = sidecars.replace("  name: faultline\n  namespace", "  name: sidecars\n  namespace");
    assert_eq!(at_run_time(&(sidecars + &gateways)), [""; 0]);
}

#[test]
fn a_filter_that_counts_what_a_log_beside_it_counts_is_found_in_one_resource_and_in_a_bootstrap() {
    let cart = ["--namespace", "shop", "--selector", "app=cart"];
    for text in [positioned("EnvoyFilter", "upstream-log", &cart), positioned("Envoy", "upstream-log", &[])] {
        assert_eq!(at_run_time(&text), [""; 0], "{text}");
        // The first configuration in the file is the filter's.
        let counting = text.replacen("upstreamLog", "final", 1);
        assert_eq!(at_run_time(&counting), ["each error counts twice"], "{counting}");
    }
    let lean = positioned("Envoy", "lean", &[]);
    assert_eq!(at_run_time(&lean), [""; 0]);
    let http = positioned("Envoy", "http", &[]);
    assert_eq!(at_run_time(&http), [""; 0]);
}

#[test]
fn two_plugins_at_the_same_resource_are_found_and_a_selector_is_none_of_its_business() {
    let target = |kind: &str, name: &str| format!(", targetRefs: [{{kind: {kind}, name: {name}}}]");
    let both = |a: &str, b: &str| {
        found(&(plugin("WasmPlugin", "shop", "a-faultline", a) + &plugin("WasmPlugin", "shop", "faultline", b)))
    };
    let (gateway, service) = (target("Gateway", "waypoint"), target("Service", "cart"));
    assert_eq!(both(&gateway, &gateway), ["FL309 warning WasmPlugin shop/faultline"]);
    assert_eq!(both(&gateway, &target("Gateway", "edge")), [""; 0]);
    assert_eq!(both(&gateway, &service), ["FL309 warning WasmPlugin shop/faultline perhaps"]);
    assert_eq!(both(&gateway, ""), [""; 0]);
}

/// The right example of a rule's page.
fn right(code: &str) -> String {
    let page = std::fs::read_to_string(format!("{}/../docs/rules/{code}.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (_, rest) = page.split_once("## Right\n\n```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn a_file_must_be_in_every_selected_workload() {
    let right = right("FL310");
    assert_eq!(found(&right), [""; 0]);
    let error = ["FL310 error EnvoyFilter shop/faultline"];
    assert_eq!(found(&right.replace("/etc/faultline\"", "/etc/other\"")), error);
    assert_eq!(found(&right.replace("userVolumeMount", "userVolumes")), error);
    assert_eq!(found(&right.replace("  workloadSelector: {labels: {app: cart}}\n", "")), error);
    // Mounted by the Deployment's own volumes, as in a gateway.
    let container = "{name: istio-proxy, image: auto, volumeMounts: [{name: f, mountPath: /etc/faultline}]}";
    let own = right
        .replace("userVolumeMount", "x")
        .replace("{name: cart, image: registry.example.com/shop/cart:1}", container);
    assert_eq!(found(&own), [""; 0]);
    // Workloads that are not selected, or are not there.
    let note = ["FL310 note EnvoyFilter shop/faultline"];
    assert_eq!(
        found(&right.replace("labels: {app: cart}\n      annotations", "labels: {app: pay}\n      annotations")),
        note
    );
    assert_eq!(found(right.split_once("---").unwrap().0), note);
    // What Istio's agent pulls is no file.
    let pulled = right.replace("local: {filename: /etc/faultline/faultline.wasm}", "remote: {sha256: aa}");
    assert_eq!(found(&pulled.replace("userVolumeMount", "x")), [""; 0]);
}
