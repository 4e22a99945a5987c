//! Tests that `validate` says of every value whether the API server or Istio's webhook takes it, as these say it
//! themselves (CRDs and `pkg/config/validation` of Istio 1.31), and that `config` takes nothing from what they refuse.

use crate::rules_as_istiod::{WEB, config, entry, found, policy, rule, threshold};
use crate::support::{run, run_with_input};

const REFUSED: [&str; 5] = ["FL103", "FL111", "FL201", "FL202", "FL204"];

/// Whether `validate` says that the resource is refused for certain.
fn is_refused(text: &str) -> bool {
    found(text).iter().any(|it| REFUSED.iter().any(|code| it.starts_with(&format!("{code} error"))))
}

fn assert_all(wanted: bool, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        assert_eq!(is_refused(&text), wanted, "{text}\n{:?}", found(&text));
    }
}

/// A rule with a policy that has one field more.
fn with(field: &str) -> String {
    rule("shop/web", &format!("host: web, trafficPolicy: {{tls: {{mode: DISABLE}}, {field}}}"))
}

fn locality(settings: &str) -> String {
    with(&format!("outlierDetection: {{maxEjectionPercent: 100}}, loadBalancer: {{localityLbSetting: {{{settings}}}}}"))
}

fn service_entry(spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: pay, namespace: shop}}\nspec: \
         {{{spec}}}\n"
    )
}

#[test]
fn a_value_of_another_type_is_refused_wherever_it_is() {
    let wrong = [
        "outlierDetection: []",
        "outlierDetection: '5'",
        "outlierDetection: {consecutive5xxErrors: [5]}",
        "outlierDetection: {splitExternalLocalOriginErrors: 'true'}",
        "loadBalancer: RANDOM",
        "loadBalancer: {simple: [RANDOM]}",
        "loadBalancer: {simple: LEAST_REQ}",
        "loadBalancer: {localityLbSetting: []}",
        "loadBalancer: {localityLbSetting: {enabled: 'true'}}",
        "loadBalancer: {localityLbSetting: {distribute: {from: a}}}",
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: [b]}]}}",
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: '100'}}]}}",
        "loadBalancer: {localityLbSetting: {failoverPriority: topology.istio.io/subzone}}",
        "portLevelSettings: {port: {number: 80}}",
        "portLevelSettings: [{port: 80, tls: {}}]",
        "portLevelSettings: [{port: {number: '80'}, tls: {}}]",
        "portLevelSettings: [null]",
        "connectionPool: {tcp: {maxConnections: '1'}}",
        "connectionPool: {tcp: {connectTimeout: 5}}",
        "connectionPool: {tcp: {idleTimeout: soon}}",
        "connectionPool: {http: {maxRetries: -1}}",
    ];
    assert_all(true, wrong.into_iter().map(with));
    let specs = [
        "host: [web]",
        "host: 5",
        "host: web, trafficPolicy: []",
        "host: web, subsets: {name: a}",
        "host: web, subsets: [{name: 1}]",
        "host: web, subsets: [{name: a, labels: {version: 1}}]",
        "host: web, subsets: [{name: a, labels: {version: yes}}]",
        "host: web, subsets: [{name: a, labels: [version]}]",
        "host: web, exportTo: '*'",
        "host: web, exportTo: ['.', 5]",
        "host: web, workloadSelector: {matchLabels: {a: true}}",
    ];
    assert_all(true, specs.into_iter().map(|spec| rule("shop/web", spec)));
    let entries = [
        "hosts: a.b",
        "hosts: [a.b], ports: [{number: '80', name: http}]",
        "hosts: [a.b], ports: [80]",
        "hosts: [a.b], resolution: Static",
        "hosts: [a.b], resolution: STATIC, endpoints: [192.0.2.1]",
        "hosts: [a.b], resolution: STATIC, endpoints: [{address: 192.0.2.1, locality: [a]}]",
    ];
    assert_all(true, entries.into_iter().map(service_entry));
}

#[test]
fn a_value_of_another_type_is_told_once_and_hides_nothing() {
    // A value behind a wrong one is not judged, and what is said of it is said once.
    assert_eq!(found(&with("outlierDetection: []")), ["FL111 error spec.trafficPolicy.outlierDetection"]);
    let quoted =
        "subsets: [{name: a, trafficPolicy: {outlierDetection: {interval: 5}, loadBalancer: {localityLbSetting: {}}}}]";
    let path = "spec.subsets[0].trafficPolicy.outlierDetection.interval";
    assert_eq!(found(&rule("shop/web", &format!("host: web, {quoted}"))), [format!("FL111 error {path}")]);
    // So are values in settings that no port gets.
    let unused = "portLevelSettings: [{port: {}, outlierDetection: {maxEjectionPercent: 150}}]";
    assert_all(
        true,
        [with(unused), with(&unused.replace("maxEjectionPercent: 150", "consecutiveLocalOriginFailures: 3"))],
    );
    // An annotation that is no text, on what is no rule.
    let annotated = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b, annotations: {x: true}}\n";
    assert_eq!(found(annotated), ["FL111 error metadata.annotations.x"]);
}

#[test]
fn numbers_and_words_are_those_that_kubectl_reads() {
    let taken = ["3.0", "1e1", "010", "0o10", "0x10", "0b11", "1_000", "+5", "null", "~"];
    assert_all(false, taken.map(|it| with(&format!("outlierDetection: {{consecutive5xxErrors: {it}}}"))));
    assert_all(
        true,
        ["3.5", "'3'", "-1", "yes", "4294967296"]
            .map(|it| with(&format!("outlierDetection: {{consecutive5xxErrors: {it}}}"))),
    );
    for word in ["yes", "Off", "on", "n"] {
        assert_all(false, [with(&format!("outlierDetection: {{splitExternalLocalOriginErrors: {word}}}"))]);
    }
    // What is read is what is derived: YAML 1.1 has 010 for 8.
    for (written, errors) in [("010", 8), ("3.0", 3), ("1e1", 10), ("0o10", 8)] {
        let text =
            rule("shop/web", &format!("host: web, {}", policy(5).replace("Errors: 5", &format!("Errors: {written}"))));
        assert_eq!(threshold(&text, &[], WEB), errors, "{written}");
    }
    // The API server takes a null for nothing.
    assert_all(false, [with("outlierDetection:"), with("loadBalancer: {simple: null}")]);
}

#[test]
fn localities_are_refused_as_the_webhook_does() {
    let refused = [
        "distribute: [{from: a, to: {}}]",
        "distribute: [{from: a}]",
        "distribute: [{to: {a: 100}}]",
        "distribute: [{from: a, to: {b: 50}}]",
        "distribute: [{from: a, to: {b: 0, c: 100}}]",
        "distribute: [{from: a//b, to: {b: 100}}]",
        "distribute: [{from: a/, to: {b: 100}}]",
        "distribute: [{from: '*/a', to: {b: 100}}]",
        "distribute: [{from: a/*/c, to: {b: 100}}]",
        "distribute: [{from: a, to: {/b: 100}}]",
        "distribute: [{from: a, to: {b: 50, b/c: 50}}]",
        "distribute: [{from: '*', to: {b: 100}}, {from: a, to: {b: 100}}]",
        "distribute: [{from: a, to: {b: 100}}, {from: a, to: {b: 100}}]",
        "distribute: [{from: a/*, to: {b: 100}}, {from: a/z, to: {b: 100}}]",
        "distribute: [{from: a/z/s, to: {b: 100}}, {from: a/z, to: {b: 100}}]",
        "failover: [{}]",
        "failover: [{from: a, to: a}]",
        "failover: [{from: a/z, to: b}]",
        "failover: [{from: a, to: '*'}]",
        "enabled: false, failover: [{from: a, to: a}]",
        "failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/region]",
        "failover: [{from: a, to: b}], distribute: [{from: a, to: {b: 100}}]",
    ];
    assert_all(true, refused.map(locality));
    let taken = [
        "distribute: [{from: a/z, to: {b: 100}}, {from: a/*, to: {b: 100}}, {from: '*', to: {b: 100}}]",
        "distribute: [{from: us-*, to: {b: 50, c: 50}}]",
        "distribute: [{from: a/b/c/d, to: {b: 50, c: 50}}]",
        "failover: [{from: a}]",
        "failover: [{to: a}]",
        "failover: [{from: a, to: b}], failoverPriority: ['topology.kubernetes.io/region=x']",
        "failover: [{from: a, to: b}], failoverPriority: [version]",
    ];
    assert_all(false, taken.map(locality));
    // The webhook looks at these in no order: it is refused by chance.
    let by_chance = found(&locality("distribute: [{from: q, to: {b: 50, '*': 50}}]"));
    assert!(
        by_chance.iter().any(|it| it.starts_with("FL111 warning") && it.ends_with("distribute[0].to")),
        "{by_chance:?}"
    );
    // Half a failover is taken, and does not do what it seems to.
    let half = found(&locality("failover: [{from: a}]"));
    assert!(half.iter().any(|it| it.starts_with("FL203 warning") && it.ends_with("failover[0]")), "{half:?}");
    // What is refused for a host is refused for a subset, for a port, and in what is zone-aware.
    let same = "failover: [{from: a, to: a}]";
    let balancer = format!("loadBalancer: {{localityLbSetting: {{{same}}}}}");
    assert_all(
        true,
        [
            rule("shop/web", &format!("host: web, subsets: [{{name: a, trafficPolicy: {{{balancer}}}}}]")),
            with(&format!("portLevelSettings: [{{port: {{number: 80}}, {balancer}}}]")),
            with(&format!("loadBalancer: {{zoneAwareLbSetting: {{{same}}}}}")),
            with("loadBalancer: {zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}}"),
            with("loadBalancer: {zoneAwareLbSetting: {}, localityLbSetting: {}}"),
        ],
    );
    assert_eq!(found(&format!("localityLbSetting: {{{same}}}\n")), ["FL202 error localityLbSetting.failover[0]"]);
}

#[test]
fn names_are_refused_as_the_webhook_does() {
    let hosts = ["''", "'a|b'", "web:80", "'http://web'", "a..b", "'*.*.a'", "10.0.0.1", "a_b.c", "web/shop"];
    assert_all(true, hosts.map(|host| rule("shop/web", &format!("host: {host}"))));
    assert_all(false, ["'*'", "'*.a.b'", "'*-a.b'", "A.b", "a.b."].map(|it| rule("shop/web", &format!("host: {it}"))));
    let subsets = [
        "[{}]",
        "[{name: ''}]",
        "[{name: a.b}]",
        "[{name: a_b}]",
        "[{name: a}, {name: a}]",
        "[{name: a, labels: {b c: d}}]",
    ];
    assert_all(true, subsets.map(|it| rule("shop/web", &format!("host: web, subsets: {it}"))));
    assert_all(true, ["a-*", "'a,b'", "''", "A.B"].map(|it| rule("shop/web", &format!("host: web, exportTo: [{it}]"))));
    let selectors = ["{'': b}", "{a: 'b*'}", "{'a*': b}"];
    let selects = |it: &str| rule("shop/web", &format!("host: web, workloadSelector: {{matchLabels: {it}}}"));
    assert_all(true, selectors.map(selects));
    // A port that no service can have is taken, and its settings never used; so are those of a port that come second.
    for ports in ["{}", "{number: 0}", "{number: 70000}"] {
        let port = found(&with(&format!("portLevelSettings: [{{port: {ports}, tls: {{}}}}]")));
        let path = "spec.trafficPolicy.portLevelSettings[0].port.number";
        assert_eq!(port, [format!("FL109 warning {path}")], "{ports}");
    }
    let twice = "portLevelSettings: [{port: {number: 80}, tls: {}}, {port: {number: 80}, tls: {}}]";
    assert_eq!(found(&with(twice)), ["FL109 warning spec.trafficPolicy.portLevelSettings[1].port.number"]);
}

#[test]
fn services_of_others_are_refused_as_the_webhook_does() {
    let http = "ports: [{number: 80, name: http, protocol: HTTP}]";
    let refused = [
        "hosts: []".to_owned(),
        "hosts: ['*']".to_owned(),
        "hosts: ['*.a.b'], resolution: DNS".to_owned(),
        "hosts: [a.b], resolution: DYNAMIC_DNS".to_owned(),
        "hosts: [a.b], endpoints: [{address: 192.0.2.1}]".to_owned(),
        "hosts: [a.b], resolution: STATIC, endpoints: [{address: c.d}]".to_owned(),
        "hosts: [a.b], resolution: STATIC, endpoints: [{labels: {a: b}}]".to_owned(),
        "hosts: [a.b], resolution: DNS, endpoints: [{address: 'http://c.d'}]".to_owned(),
        "hosts: [a.b], resolution: STATIC, endpoints: [{address: 'unix:///a'}]".to_owned(),
        "hosts: [a.b], resolution: DNS, addresses: [192.0.2.0/24]".to_owned(),
        "hosts: [a.b], addresses: [somewhere]".to_owned(),
        "hosts: [a.b], resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 192.0.2.1}]"
            .to_owned(),
        "hosts: [a.b], ports: [{number: 0, name: http}]".to_owned(),
        "hosts: [a.b], ports: [{number: 80}]".to_owned(),
        "hosts: [a.b], ports: [{number: 80, name: a}, {number: 80, name: b}]".to_owned(),
        "hosts: [a.b], ports: [{number: 80, name: a, protocol: FOO}]".to_owned(),
        "hosts: [a.b, c.d], resolution: DNS, ports: [{number: 80, name: a, protocol: TCP}]".to_owned(),
        format!("hosts: [a.b], {http}, resolution: STATIC, endpoints: [{{address: 192.0.2.1, ports: {{tls: 1}}}}]"),
    ];
    assert_all(true, refused.iter().map(|spec| service_entry(spec)));
    let taken = [
        format!("hosts: [a.b, c.d], resolution: DNS, {http}"),
        format!("hosts: ['*.a.b'], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL, {http}"),
        "hosts: ['*.a.b'], addresses: [192.0.2.0/24], ports: [{number: 1, name: t, protocol: tcp}]".to_owned(),
        format!("hosts: [a.b], resolution: DNS, {http}, endpoints: [{{address: c.d, ports: {{http: 8080}}}}]"),
        format!("hosts: [a.b], {http}, resolution: STATIC, endpoints: [{{network: net-1}}, {{address: 'unix:///a'}}]"),
    ];
    assert_all(false, taken.iter().map(|spec| service_entry(spec)));
    let workload = |spec: &str| service_entry(spec).replace("ServiceEntry", "WorkloadEntry");
    assert_all(true, ["", "labels: {a: b}", "address: 'a b'", "address: 192.0.2.1, ports: {http: '80'}"].map(workload));
    assert_all(false, ["address: 192.0.2.1", "address: a.b, weight: 2", "network: net-1"].map(workload));
}

#[test]
fn config_takes_nothing_from_what_is_refused() {
    let good = rule("shop/web", &format!("host: web, {}", policy(3)));
    let refused = [
        rule("shop/odd", &format!("host: odd, exportTo: [a, a], {}", policy(5))),
        rule("shop/port", &format!("host: 'port:80', {}", policy(5))),
        rule("shop/two", &format!("host: two, subsets: [{{name: a}}, {{name: a}}], {}", policy(5))),
        rule(
            "shop/part",
            "host: part, trafficPolicy: {outlierDetection: {interval: 5}, portLevelSettings: [{port: \
             {number: 80}, outlierDetection: {consecutive5xxErrors: 2}}]}",
        ),
    ];
    let ran = config(&format!("{good}{}", refused.concat()), &["--no-witness"]).exits(3);
    let clusters: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<&str> =
        clusters["clusters"].as_array().unwrap().iter().map(|it| it["match"].as_str().unwrap()).collect();
    assert_eq!(names, ["outbound|*||web.shop.svc.cluster.local"]);
    for told in
        ["left out, 4 resources that the API server or Istio refuses", "4 that Istio refuses", "spec.exportTo[1]"]
    {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    // Where the last of two versions is refused, the one before holds.
    let again = rule("shop/web", &format!("host: web, exportTo: [a, a], {}", policy(9)));
    assert_eq!(threshold(&format!("{good}{again}"), &[], WEB), 3);
    // A service that is refused is none.
    let text = format!("{}{good}", entry("STATIC", &["", ""]).replace("resolution: STATIC", "resolution: Static"));
    let told = config(&text, &[]).exits(0).stderr;
    assert!(told.contains("ServiceEntry shop/pay (spec.resolution"), "{told}");
}

#[test]
fn a_mesh_configuration_is_read_as_protobuf_has_it() {
    let text =
        "default_traffic_policy: {outlier_detection: {consecutive_5xx_errors: '7', maxEjectionPercent: \"100\"}}\n";
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    \
         {text}"
    );
    assert_eq!(found(&map), [""; 0]);
    assert_eq!(threshold(&map, &[], WEB), 7);
    // One that cannot be read is said, and so is one in the older place of an IstioOperator.
    for odd in ["mesh: '{a'", "mesh: text"] {
        let broken = map.split("  mesh:").next().unwrap().to_owned() + "  " + odd + "\n";
        assert_eq!(found(&broken), ["FL007 error ."], "{odd}");
    }
    let operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {values: {meshConfig: \
                    {localityLbSetting: {failover: [{from: a, to: a}]}}}}\n";
    assert_eq!(found(operator), ["FL202 error localityLbSetting.failover[0]"]);
}

#[test]
fn aliases_that_repeat_without_end_are_told_with_their_file() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let own = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{own}]\n");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bomb.yaml"), text).unwrap();
    let told = run(dir.path(), &["validate", "bomb.yaml"]).exits(3).stdout;
    assert!(told.contains("bomb.yaml:") && told.contains("repeat more than 100000 values"), "{told}");
    let refused = run(dir.path(), &["config", "bomb.yaml"]).exits(1).stderr;
    assert!(refused.contains("bomb.yaml") && refused.contains("repeat more than 100000 values"), "{refused}");
    // Ordinary aliases are taken.
    let plain = "x: &rules {consecutive5xxErrors: 3}\n".to_owned()
        + "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\n"
        + "spec: {host: web, trafficPolicy: {outlierDetection: *rules}}\n";
    let ran = run_with_input(dir.path(), &["config", "-"], plain.as_bytes()).exits(0);
    assert!(ran.stdout.contains("\"consecutive5xxErrors\": 3"), "{}", ran.stdout);
}
