//! Tests of several configurations of the module in one proxy: each is true for its own requests, a request that passes
//! the filter twice counts once, and none is forgotten however many come and go.

use crate::balancer::{Cluster, Host};
use crate::on_harness::{CLUSTER, HOME, NEAR};
use crate::stage::Stage;
use serde_json::{Value, json};
use wasm_harness::{RootConfig, RootId};

const A: &str = "10.0.1.1:8000";

fn hosts() -> Vec<Host> {
    vec![Host::new(A, HOME, 0), Host::new("10.0.1.2:8000", HOME, 0), Host::new("10.0.2.1:8000", NEAR, 1)]
}

fn config(threshold: u32, more: &Value) -> String {
    let mut config = json!({
        "outlierDetection": {
            "consecutive5xxErrors": threshold, "interval": "500ms", "baseEjectionTime": "1s", "maxEjectionTime": "1s",
            "maxEjectionPercent": 100,
        },
        "failover": { "window": "2s", "endAfter": "2s" },
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config.to_string()
}

fn stage(config: &str) -> Stage {
    Stage::new(config, vec![Cluster::new(CLUSTER, hosts(), 3, 1_000)])
}

fn add(stage: &mut Stage, name: &str, config: &str) -> RootId {
    stage.proxy.add_root(RootConfig::new(config).name(name).listener(name)).expect("the plugin starts")
}

/// The first host fails for a second and a half.
fn outage(stage: &mut Stage) {
    stage.run(1_000, 80);
    stage.cluster().hosts[0].answers = vec![503];
    stage.run(1_500, 80);
    stage.cluster().hosts[0].answers = vec![200];
    stage.run(5_000, 80);
}

#[test]
fn each_listeners_requests_are_evaluated_by_its_own_configuration() {
    let right = config(3, &json!({}));
    let ignores = config(3, &json!({ "clusters": [{ "match": "*", "ignore": true }] }));
    let logs_attempts = config(9, &json!({ "attempts": "upstreamLog" }));
    let witnesses = config(9, &json!({ "witness": {} }));
    for (what, other) in [
        ("a higher threshold", config(9, &json!({}))),
        ("clusters that are ignored", ignores),
        ("attempts in the upstream log", logs_attempts),
        ("a witness", witnesses),
    ] {
        for is_first in [true, false] {
            let what = format!("{what}, configured {}", if is_first { "later" } else { "earlier" });
            let mut stage = stage(if is_first { &right } else { &other });
            let second = add(&mut stage, "second", if is_first { &other } else { &right });
            if !is_first {
                stage.chain = vec![second];
            }
            outage(&mut stage);
            assert_eq!(stage.told_of_endpoints(), stage.record(), "{what}:\n{}", stage.all());
            let attempts = stage.attempts();
            assert_eq!(attempts, stage.requests, "{what}");
        }
    }
}

#[test]
fn a_request_that_passes_the_filter_twice_counts_once() {
    let right = config(3, &json!({}));
    for (what, roots, others) in [
        ("the same configuration", 2, right.clone()),
        ("three times", 3, right.clone()),
        ("another configuration", 2, config(9, &json!({}))),
        ("with a witness", 2, config(3, &json!({ "witness": {} }))),
    ] {
        let mut stage = stage(if what == "with a witness" { &others } else { &right });
        for n in 1..roots {
            let root = add(&mut stage, &format!("plugin {n}"), &others);
            stage.chain.push(root);
        }
        stage.run(1_000, 80);
        // Two errors in a row are too few for Envoy, and three for whoever counts them twice.
        stage.cluster().hosts[0].answers = vec![503, 503, 200];
        stage.run(3_000, 80);
        stage.cluster().hosts[0].answers = vec![200];
        stage.run(3_000, 80);
        assert_eq!(stage.record(), Vec::<String>::new());
        assert_eq!(stage.told(&["e", "f", "n"]), Vec::<String>::new(), "{what}:\n{}", stage.all());
        let attempts = stage.attempts();
        assert_eq!(attempts, stage.requests, "{what}");
        // Each VM says it once; the main thread's has no requests.
        assert!((1..=2).contains(&stage.remarks("requests pass this plugin twice")), "{what}");
    }
}

#[test]
fn no_configuration_is_forgotten_however_many_come_and_go() {
    for (what, updates, position) in [
        ("upstream log", 300, "upstreamLog"),
        ("upstream log, a thousand", 1_000, "upstreamLog"),
        ("HTTP filter", 300, "final"),
        ("few", 5, "upstreamLog"),
    ] {
        let first = config(3, &json!({ "attempts": position, "witness": {} }));
        let mut stage = stage(&first);
        stage.upstream_log = (position == "upstreamLog").then(|| stage.proxy.root());
        let second = add(&mut stage, "second", &first);
        stage.run(1_000, 20);
        for n in 0..updates {
            let seconds = json!({ "window": format!("{}s", n % 50 + 2) });
            let next =
                config(3, &json!({ "attempts": position, "witness": {}, "failover": seconds, "logLevel": "warn" }));
            stage.proxy.reconfigure(second, next).expect("the plugin starts");
            stage.run(100, 10);
        }
        let before = stage.record().len();
        outage(&mut stage);
        assert!(stage.record().len() > before + 1, "{what}");
        assert_eq!(stage.told_of_endpoints(), stage.record(), "{what}:\n{}", stage.all());
        let attempts = stage.attempts();
        assert_eq!(attempts, stage.requests, "{what}");
        stage.assert_alive(what);
    }
}

#[test]
fn configurations_that_see_traffic_for_long_are_remarked() {
    for (attempts, positions) in [("final", 0), ("upstreamLog", 1)] {
        let mut stage = stage(&config(3, &json!({})));
        let second = add(&mut stage, "second", &config(9, &json!({ "attempts": attempts })));
        let first = stage.chain[0];
        for minute in 0..6 {
            for root in [first, second] {
                stage.chain = vec![root];
                stage.run(30_000, 10);
            }
            assert!(minute > 0 || stage.remarks("different configurations of this module") == 0, "not at once");
        }
        let said = stage.remarks("2 different configurations of this module");
        assert!((1..=2).contains(&said), "said {said} times: {:?}", stage.proxy.logs());
        let said = stage.remarks("use one position");
        assert_eq!(said.min(1), positions, "{attempts}, said {said} times: {:?}", stage.proxy.logs());
    }
}
