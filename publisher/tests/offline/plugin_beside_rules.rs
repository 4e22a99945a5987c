//! Tests what `validate` and `config` say of a plugin's configuration and the mesh's rules beside it.

use crate::rules_as_istiod::{WEB, found, policy, rule};
use crate::support::run_with_input;

const IMAGE: &str = "oci://registry.example.com/mesh/faultline:1.0.0@sha256:\
                     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn plugin(config: &str) -> String {
    format!(
        "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: faultline, namespace: \
         shop}}\nspec: {{url: '{IMAGE}', failStrategy: FAIL_OPEN, pluginConfig: {config}}}\n"
    )
}

fn validated(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &["validate", "-"], text.as_bytes()).stdout
}

#[test]
fn a_difference_is_told_by_what_was_set() {
    let detects = "{consecutive5xxErrors: 4, maxEjectionPercent: 100}";
    let config = plugin(&format!("{{clusters: [{{match: '{WEB}', outlierDetection: {detects}}}]}}"));
    // The rule turns ejections off: times are set by neither.
    let off = rule(
        "shop/web",
        "host: web, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 0}}",
    );
    let told = validated(&(off + &config));
    assert!(told.contains("consecutive5xxErrors is 4 here and 0 by"), "{told}");
    assert!(!told.contains("baseEjectionTime"), "{told}");
    let told = validated(&(rule("shop/web", &format!("host: web, {}", policy(3))) + &config));
    assert!(told.contains("consecutive5xxErrors is 4 here and 3 by"), "{told}");
}

#[test]
fn a_witness_that_no_proxy_of_istio_has_is_told() {
    let wrong = "FL312 warning spec.pluginConfig.witness.cluster";
    assert_eq!(found(&plugin("{witness: {cluster: envoy_admin}}")), [wrong]);
    for right in ["{witness: {}}", "{witness: {cluster: prometheus_stats}}"] {
        assert_eq!(found(&plugin(right)), [""; 0], "{right}");
    }
    let adds = "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata:\n  name: admin\n  \
        namespace: shop\nspec:\n  configPatches:\n  - applyTo: CLUSTER\n    match: {context: SIDECAR_OUTBOUND}\n    \
        patch:\n      operation: ADD\n      value: {name: envoy_admin, type: STATIC}\n";
    assert_eq!(found(&(plugin("{witness: {cluster: envoy_admin}}") + adds)), [""; 0]);
}

#[test]
fn a_host_that_istio_does_not_complete_is_told_when_a_configuration_is_derived() {
    let said = |host: &str| {
        let dir = tempfile::tempdir().unwrap();
        let rules = rule("shop/search", &format!("host: {host}, {}", policy(3)));
        run_with_input(dir.path(), &["config", "-"], rules.as_bytes()).stderr
    };
    let words = "for a name with a dot, which Istio does not complete, so that no service has it: ";
    for host in ["search.shop", "search.shop.svc"] {
        let said = said(host);
        assert!(said.contains(words) && said.contains("write search.shop.svc.cluster.local"), "{said}");
    }
    for host in ["search", "search.shop.svc.cluster.local", "api.example.com"] {
        assert!(!said(host).contains(words), "{host}");
    }
}
