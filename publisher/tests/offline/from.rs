//! Tests that the configuration from `--from` gives each cluster the thresholds that istiod gives Envoy.
//!
//! The filter's own parser reads the configuration, and each test asks it for the rule of a cluster name.

use crate::support::{Ran, run, run_with_input, workplace};
use filter_core::config::{Config, OutlierDetection, parse};
use serde_json::{Value, json};

fn derive(text: &str, more: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &[&["config", "--from", "-"][..], more].concat(), text.as_bytes())
}

/// Parses the configuration as the filter does; it must not have an unknown field.
fn config(text: &str) -> Config {
    let ran = derive(text, &[]).exits(0);
    let parsed = parse(ran.stdout.as_bytes()).unwrap();
    assert_eq!(parsed.unknown_fields, [""; 0]);
    parsed.config
}

fn thresholds(config: &Config, cluster: &str) -> (u32, u32) {
    let rules = config.rules_for(cluster).unwrap_or_else(|| panic!("{cluster} is ignored"));
    (rules.consecutive5xx_errors, rules.consecutive_gateway_errors)
}

fn rule(name: &str, spec: &str) -> String {
    let spec = spec.trim_end().replace('\n', "\n  ");
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {name}\n  namespace: \
            shop\nspec:\n  {spec}\n"
    )
}

const CART: &str = "cart.shop.svc.cluster.local";

#[test]
fn thresholds_are_those_that_istiod_gives_envoy() {
    let of = |block: &str| {
        let config = config(&rule("cart", &format!("host: cart\ntrafficPolicy:\n  outlierDetection: {block}")));
        config.rules_for(&format!("outbound|80||{CART}")).unwrap().clone()
    };
    let default = OutlierDetection::default();
    assert_eq!(of("{}"), default);
    assert_eq!(of("{maxEjectionPercent: 0}"), default);
    assert_eq!(of("{consecutive5xxErrors: 0}").consecutive5xx_errors, 0);
    assert_eq!(of("{consecutiveGatewayErrors: 7}").consecutive_gateway_errors, 7);
    let all = of("{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2, consecutive5xxErrors: 3, \
                  interval: 1.5s, baseEjectionTime: 6m, maxEjectionPercent: 60, minHealthPercent: 20}");
    assert_eq!((all.split_external_local_origin_errors, all.consecutive_local_origin_failures), (true, 2));
    assert_eq!((all.interval.millis(), all.base_ejection_time.millis()), (1_500, 360_000));
    assert_eq!((all.max_ejection_percent, all.min_health_percent), (60, 20));
    assert_eq!(of("{splitExternalLocalOriginErrors: true}").consecutive_local_origin_failures, 5);
}

#[test]
fn what_has_no_outlier_detection_is_never_judged_and_never_ignored() {
    let config = config(&rule("cart", "host: cart\ntrafficPolicy: {outlierDetection: {consecutive5xxErrors: 2}}"));
    assert_eq!(thresholds(&config, &format!("outbound|80||{CART}")), (2, 0));
    assert_eq!(thresholds(&config, "outbound|80||other.shop.svc.cluster.local"), (0, 0));
    assert!(!config.rules_for("outbound|80||other").unwrap().split_external_local_origin_errors);
    // Clusters that the filter skips by itself stay without rules.
    assert_eq!(config.rules_for("PassthroughCluster"), None);
    assert!(config.witness.is_some());
}

#[test]
fn ports_replace_and_subsets_override() {
    let config = config(&rule(
        "cart",
        "host: cart
trafficPolicy:
  outlierDetection: {consecutive5xxErrors: 1}
  portLevelSettings:
  - {port: {number: 81}, outlierDetection: {consecutiveGatewayErrors: 2}}
  - {port: {number: 82}, loadBalancer: {simple: RANDOM}}
subsets:
- {name: plain, labels: {v: plain}}
- name: own
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}
- name: ported
  trafficPolicy:
    portLevelSettings:
    - {port: {number: 82}, outlierDetection: {consecutive5xxErrors: 4}}
",
    ));
    let of = |port: u16, subset: &str| thresholds(&config, &format!("outbound|{port}|{subset}|{CART}"));
    assert_eq!([of(80, ""), of(81, ""), of(82, "")], [(1, 0), (5, 2), (0, 0)]);
    assert_eq!([of(80, "plain"), of(81, "plain"), of(82, "plain")], [(1, 0), (5, 2), (0, 0)]);
    assert_eq!([of(80, "own"), of(81, "own"), of(82, "own")], [(3, 0); 3]);
    assert_eq!([of(80, "ported"), of(81, "ported"), of(82, "ported")], [(1, 0), (5, 2), (4, 0)]);
}

#[test]
fn the_most_special_host_wins_even_if_it_has_no_outlier_detection() {
    let detect = |host: &str, n: u32| {
        rule(
            &format!("r{n}"),
            &format!("host: '{host}'\ntrafficPolicy: {{outlierDetection: {{consecutive5xxErrors: {n}}}}}"),
        )
    };
    let text = [
        // A rule for services of other namespaces is in the root namespace.
        detect("*.svc.cluster.local", 1).replace("namespace: shop", "namespace: istio-system"),
        detect("*.shop.svc.cluster.local", 2),
        rule("cart", "host: cart\ntrafficPolicy: {loadBalancer: {simple: RANDOM}}"),
        detect("api.example.com", 4),
        rule("lone", "host: lone.example.com\ntrafficPolicy: {loadBalancer: {simple: RANDOM}}"),
    ];
    let text = text.concat();
    let config = config(&text);
    let of = |host: &str| thresholds(&config, &format!("outbound|80||{host}")).0;
    assert_eq!(of(CART), 0);
    assert_eq!(of("pay.shop.svc.cluster.local"), 2);
    assert_eq!(of("pay.other.svc.cluster.local"), 1);
    assert_eq!((of("api.example.com"), of("lone.example.com"), of("new.example.com")), (4, 0, 0));
    // An entry that only repeats the default is left out.
    assert!(!config.clusters.iter().any(|entry| entry.pattern.contains("lone")), "{:?}", config.clusters);
}

#[test]
fn rules_for_one_host_are_merged_as_istiod_does() {
    let dated = |name: &str, date: &str, spec: &str| {
        rule(name, spec)
            .replace(&format!("name: {name}\n"), &format!("name: {name}\n  creationTimestamp: \"{date}\"\n"))
    };
    let one = "host: cart\ntrafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}";
    let two = "host: cart.shop.svc.cluster.local\ntrafficPolicy: {outlierDetection: {consecutive5xxErrors: \
        2}}\nsubsets:\n- name: v1\n  \
               trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}";
    let text = dated("a", "2026-02-02T00:00:00Z", one) + &dated("b", "2026-01-01T00:00:00Z", two);
    let ran = derive(&text, &[]).exits(0);
    assert!(ran.stderr.contains("DestinationRule shop/b, DestinationRule shop/a are merged"), "{}", ran.stderr);
    let config = config(&text);
    assert_eq!(thresholds(&config, &format!("outbound|80||{CART}")), (2, 0));
    assert_eq!(thresholds(&config, &format!("outbound|80|v1|{CART}")), (3, 0));
    // A rule in another namespace applies only there.
    let other =
        rule("c", "host: cart.shop.svc.cluster.local\ntrafficPolicy: {outlierDetection: {consecutive5xxErrors: 9}}")
            .replace("namespace: shop", "namespace: far");
    let ran = derive(&(other + &text), &[]).exits(0);
    assert!(
        ran.stderr.contains("left out, 1 rule: found by the proxies") && ran.stderr.contains("DestinationRule far/c"),
        "{}",
        ran.stderr
    );
    assert_eq!(parse(ran.stdout.as_bytes()).unwrap().config, config);
}

#[test]
fn the_mesh_may_have_a_default() {
    let block = "defaultTrafficPolicy: {outlierDetection: {consecutive5xxErrors: 8}}";
    let wrapped = [
        format!("{block}\n"),
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: \
                |\n    {block}\n"
        ),
        format!("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  meshConfig:\n    {block}\n"),
        format!("meshConfig:\n  {block}\n"),
    ];
    for mesh in wrapped {
        let text = format!(
            "{mesh}{}{}",
            rule("cart", "host: cart\ntrafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}"),
            rule(
                "pay",
                "host: pay\ntrafficPolicy: {portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]}"
            ),
        );
        let config = config(&text);
        assert_eq!(thresholds(&config, &format!("outbound|80||{CART}")).0, 1);
        assert_eq!(thresholds(&config, "outbound|80||pay.shop.svc.cluster.local").0, 8);
        assert_eq!(thresholds(&config, "outbound|80|v1|anything.example.com").0, 8);
        assert_eq!(thresholds(&config, "inbound|80||").0, 0);
        assert_eq!(config.rules_for("PassthroughCluster"), None);
    }
}

#[test]
fn addresses_with_a_locality_are_carried_over() {
    let entry = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay}\nspec:\n  hosts: \
        [pay.example.com]\n  resolution: DNS\n  endpoints:\n  \
                 - {address: 192.0.2.1, locality: r/z1}\n  - {address: 2001:db8::1, locality: r/z2/s}\n  - {address: \
                 pay.internal, locality: r/z3}\n  \
                 - {address: 192.0.2.9}\n---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: \
                 {name: vm}\nspec: \
                 {address: 192.0.2.1, locality: r/z9}\n";
    let text = rule("cart", "host: cart\ntrafficPolicy: {outlierDetection: {}}") + entry;
    let ran = derive(&text, &[]).exits(0);
    let localities =
        json!([{"cidr": "192.0.2.1/32", "locality": "r/z1"}, {"cidr": "2001:db8::1/128", "locality": "r/z2/s"}]);
    assert_eq!(ran.json()["localities"], localities);
    assert!(ran.stderr.contains("192.0.2.1 is said to be in r/z1 and in r/z9"), "{}", ran.stderr);
    assert_eq!(config(&text).locality_of("192.0.2.1:80"), Some("r/z1"));
}

#[test]
fn what_a_hand_wrote_comes_first_and_stays() {
    let dir = workplace();
    let text = rule("cart", "host: cart\ntrafficPolicy: {outlierDetection: {consecutive5xxErrors: 2}}");
    std::fs::write(dir.path().join("mesh.yaml"), &text).unwrap();
    let own = concat!(
        r#"{"clusters": [{"match": "*cart*", "ignore": true}], "#,
        r#""witness": {"minInterval": "1s"}, "limits": {"series": 99}}"#
    );
    std::fs::write(dir.path().join("own.json"), own).unwrap();
    let made = run(dir.path(), &["config", "-f", "mesh.yaml", "--config", "own.json"]).exits(0);
    let config = parse(made.stdout.as_bytes()).unwrap().config;
    assert_eq!(config.rules_for(&format!("outbound|80||{CART}")), None);
    assert_eq!((config.clusters.len(), config.limits.series), (2, 99));
    assert_eq!(config.witness.unwrap().min_interval.millis(), 1_000);
    assert_eq!(derive(&text, &["--no-witness"]).exits(0).json().get("witness"), None);

    // The same derivation directly in a manifest.
    let args = ["manifest", "ghcr.io/acme/faultline:1.0", "--offline", "--from", "mesh.yaml", "--config", "own.json"];
    let manifest = run(dir.path(), &args).exits(0);
    let manifest: Value = serde_saphyr::from_str(&manifest.stdout).unwrap();
    assert_eq!(manifest["spec"]["pluginConfig"], made.json());
}

#[test]
fn what_cannot_be_derived_is_an_error_with_the_remedy() {
    let dir = workplace();
    run(dir.path(), &["config"]).refuses_usage_with(&["--from"]);
    run(dir.path(), &["config", "--from", "absent.yaml"]).fails_with(&["absent.yaml", "No such file"]);
    let entry = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n";
    derive(entry, &[]).fails_with(&["no DestinationRule is in `-`", "nothing to take thresholds from"]);
    derive("a: [\n", &[]).fails_with(&["`-:", "is not YAML"]);
    std::fs::write(dir.path().join("mesh.yaml"), rule("cart", "host: cart")).unwrap();
    let plain = ["manifest", "ghcr.io/acme/faultline:1.0", "--offline", "--from", "mesh.yaml", "--kind", "Envoy"];
    run(dir.path(), &plain).refuses_usage_with(&["--from", "--kind Envoy", "--config"]);
    let odd = rule("cart", "host: cart\nexportTo: ['.']\ntrafficPolicy: {outlierDetection: {interval: soon}}");
    let near = odd.replace("soon", "5s");
    let ran = derive(&near, &[]).exits(0);
    assert!(ran.stderr.contains("left out, 1 rule: only for the namespaces that exportTo names"), "{}", ran.stderr);
    let ran = derive(&odd, &["--namespace", "shop"]).exits(0);
    assert!(ran.stderr.contains("outlierDetection.interval: \"soon\" is not a duration"), "{}", ran.stderr);
}
