//! Tests that `validate` compares a gateway's configuration of the plugin with the rules beside it: in Istio, in
//! Higress and in Envoy Gateway.

use crate::rules_as_istiod::{WEB, found, policy, rule};

const IMAGE: &str = "oci://registry.example.com/mesh/faultline:1.0.0@sha256:\
                     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn detection(n: u32) -> String {
    format!("{{consecutive5xxErrors: {n}, consecutiveGatewayErrors: 0, maxEjectionPercent: 100}}")
}

#[test]
fn higress_has_the_rules_of_istio() {
    let rules = rule("shop/web", &format!("host: web, {}", policy(3)));
    let plugin = |n| {
        format!(
            "---\napiVersion: extensions.higress.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: faultline, \
             namespace: higress-system}}\nspec: {{url: '{IMAGE}', failStrategy: FAIL_OPEN, defaultConfig: {{clusters: \
             [{{match: '{WEB}', outlierDetection: {}}}]}}}}\n",
            detection(n)
        )
    };
    assert_eq!(found(&(rules.clone() + &plugin(3))), [""; 0]);
    assert_eq!(found(&(rules.clone() + &plugin(4))), ["FL311 warning spec.defaultConfig.clusters[0].outlierDetection"]);
    let for_shop = rules.replace("host: web", "exportTo: [.], host: web");
    assert_eq!(found(&(for_shop + &plugin(4))), [""; 0], "the gateway does not see it");
}

#[test]
fn a_gateway_of_the_gateway_api_is_told_by_its_label() {
    let selects = "workloadSelector: {matchLabels: {gateway.networking.k8s.io/gateway-name: edge}}";
    let rules = rule("edge/web", &format!("host: web.shop.svc.cluster.local, {selects}, {}", policy(3)));
    let plugin = |gateway: &str| {
        format!(
            "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: faultline, namespace: \
             edge}}\nspec: {{url: '{IMAGE}', failStrategy: FAIL_OPEN, targetRefs: [{{group: gateway.networking.k8s.io, \
             kind: Gateway, name: {gateway}}}], pluginConfig: {{clusters: [{{match: '{WEB}', outlierDetection: \
             {}}}]}}}}\n",
            detection(4)
        )
    };
    let differs = ["FL311 warning spec.pluginConfig.clusters[0].outlierDetection"];
    assert_eq!(found(&(rules.clone() + &plugin("edge"))), differs);
    assert_eq!(found(&(rules + &plugin("other"))), [""; 0]);
}

fn traffic_policy(name: &str, target: &str, passive: &str) -> String {
    format!(
        "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {{name: {name}, \
         namespace: shop}}\nspec: {{targetRefs: [{{group: gateway.networking.k8s.io, {target}}}], healthCheck: \
         {{{passive}}}}}\n"
    )
}

/// An EnvoyExtensionPolicy with this configuration.
fn extension(target: &str, config: &str) -> String {
    format!(
        "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: {{name: faultline, \
         namespace: shop}}\nspec: {{targetRefs: [{{group: gateway.networking.k8s.io, {target}}}], wasm: [{{name: \
         faultline, rootID: faultline, failOpen: true, code: {{type: Image, image: {{url: \
         registry.example.com/mesh/faultline:1.0.0}}}}, config: {config}}}]}}\n"
    )
}

const EDGE: &str = "kind: Gateway, name: edge";
const ROUTE: &str = "kind: HTTPRoute, name: web";
const DIFFERS: [&str; 1] = ["FL311 warning spec.wasm[0].config.outlierDetection"];

/// What the examples of a route to Envoy Gateway say, in its own words and in the plugin's.
const PASSIVE: &str = "passive: {consecutive5XxErrors: 5, interval: 10s, maxEjectionPercent: 100}";
const SAME: &str = "{outlierDetection: {interval: 10s, maxEjectionPercent: 100, minHealthPercent: 50}}";

#[test]
fn envoy_gateway_ejects_by_its_traffic_policy() {
    let edge = traffic_policy("edge", EDGE, PASSIVE);
    assert_eq!(found(&(edge.clone() + &extension(EDGE, SAME))), [""; 0]);
    for other in [
        &SAME.replace("100", "50"),
        &SAME.replace("interval: 10s, ", "interval: 9s, "),
        &SAME.replace(", minHealthPercent: 50", ""),
        "{}",
    ] {
        assert_eq!(found(&(edge.clone() + &extension(EDGE, other))), DIFFERS, "{other}");
    }
    // What it leaves out is Envoy Gateway's own default.
    let short = traffic_policy("edge", EDGE, "panicThreshold: 0, passive: {maxEjectionPercent: 100}");
    assert_eq!(
        found(&(short.clone() + &extension(EDGE, "{outlierDetection: {interval: 3s, maxEjectionPercent: 100}}"))),
        [""; 0]
    );
    assert_eq!(found(&(short + &extension(EDGE, "{outlierDetection: {maxEjectionPercent: 100}}"))), DIFFERS);
    // Nothing ejects without it.
    let none = traffic_policy("edge", EDGE, "active: {type: TCP}");
    assert_eq!(found(&(none.clone() + &extension(EDGE, SAME))), DIFFERS);
    assert_eq!(found(&(none + &extension(EDGE, "{outlierDetection: {consecutive5xxErrors: 0}}"))), [""; 0]);
    let elsewhere = traffic_policy("edge", "kind: Gateway, name: other", PASSIVE);
    assert_eq!(found(&(elsewhere + &extension(EDGE, "{}"))), [""; 0]);
}

#[test]
fn a_route_s_own_policy_takes_the_place_of_the_gateway_s() {
    let route = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: \
                 shop}\nspec: {parentRefs: [{name: edge}]}\n";
    let edge = traffic_policy("edge", EDGE, PASSIVE);
    let own = traffic_policy("web", ROUTE, &PASSIVE.replace("consecutive5XxErrors: 5", "consecutive5XxErrors: 7"));
    let all = format!("{route}{edge}{own}");
    let entry = |n: u32| {
        SAME.replacen(
            '{',
            &format!(
                "{{clusters: [{{match: 'httproute/shop/web/rule/*', outlierDetection: \
            {{consecutive5xxErrors: {n}, interval: 10s, maxEjectionPercent: 100, minHealthPercent: 50}}}}], "
            ),
            1,
        )
    };
    assert_eq!(found(&(all.clone() + &extension(EDGE, SAME))), DIFFERS);
    assert_eq!(found(&(all.clone() + &extension(ROUTE, SAME))), DIFFERS);
    for target in [EDGE, ROUTE] {
        assert_eq!(found(&(all.clone() + &extension(target, &entry(7)))), [""; 0]);
        let differs = ["FL311 warning spec.wasm[0].config.clusters[0].outlierDetection"];
        assert_eq!(found(&(all.clone() + &extension(target, &entry(5)))), differs);
    }
    // Without one of its own, the route has the Gateway's.
    let inherits = format!("{route}{edge}");
    assert_eq!(found(&(inherits.clone() + &extension(ROUTE, SAME))), [""; 0]);
    assert_eq!(found(&(inherits + &extension(ROUTE, "{}"))), DIFFERS);
}
