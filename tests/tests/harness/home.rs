//! Tests of where home is when nothing in the bootstrap says so: failovers are told all the same, or it is said once
//! that they cannot be.

use crate::balancer::{Cluster, Host};
use crate::on_harness::{CLUSTER, HOME, NEAR};
use crate::stage::Stage;
use wasm_harness::Node;

const RULES: &str = r#"{"outlierDetection": {"consecutive5xxErrors": 3, "interval": "500ms", "baseEjectionTime": "2s",
    "maxEjectionTime": "2s", "maxEjectionPercent": 100}, "failover": {"window": "2s", "endAfter": "2s"}, "witness": {}}"#;

fn hosts(away: u32) -> Vec<Host> {
    let host = |n: u32, locality: &str, priority: u32| Host::new(&format!("10.0.1.{n}:8000"), locality, priority);
    vec![host(1, HOME, 0), host(2, HOME, 0), host(3, NEAR, away), host(4, NEAR, away)]
}

/// A home that fails for three seconds, with hosts away at this priority.
fn outage(node: Node, away: u32) -> Stage {
    let mut stage = Stage::of(node, RULES, vec![Cluster::new(CLUSTER, hosts(away), 3, 2_000)]);
    stage.run(4_000, 100);
    stage.cluster().hosts[..2].iter_mut().for_each(|host| host.answers = vec![503]);
    stage.run(3_000, 100);
    stage.cluster().hosts[..2].iter_mut().for_each(|host| host.answers = vec![200]);
    stage.run(10_000, 100);
    stage
}

#[test]
fn home_is_known_by_labels_or_concluded_from_priorities() {
    let (region, zone) = HOME.split_once('/').unwrap();
    let labels =
        Node::default().label("topology.kubernetes.io/region", region).label("topology.kubernetes.io/zone", zone);
    let joined = Node::default().label("istio-locality", &HOME.replace('/', "."));
    let zone_only = Node::default().label("topology.kubernetes.io/zone", zone);
    for (what, node, said) in [
        ("labels", labels, "(the labels in node.metadata)"),
        ("istio-locality", joined, "(the labels in node.metadata)"),
        ("nothing but priorities", Node::default(), "(concluded from Envoy's priorities)"),
        ("half a label and priorities", zone_only, "home is"),
        ("in the bootstrap", Node::at(HOME), "(node.locality)"),
    ] {
        let stage = outage(node, 1);
        let told: Vec<String> = stage.told(&["failover_"]);
        let expected = [format!("failover_started {HOME} {NEAR}"), format!("failover_ended {HOME} {NEAR}")];
        assert_eq!(told, expected, "{what}:\n{}", stage.all());
        assert_eq!(stage.remarks(said), 1, "{what}: it is said once where home is");
        let tier = stage.when("failover_started")[0].1["tier"].clone();
        assert_eq!(tier, "same_region", "{what}");
    }
}

#[test]
fn where_nothing_tells_home_it_is_said_once_that_no_failover_can_be_told() {
    // All hosts have the same priority: nothing is nearer than the rest.
    let mut stage = outage(Node::default(), 0);
    assert_eq!(stage.told(&["failover_"]), Vec::<String>::new(), "{}", stage.all());
    assert_eq!(stage.told_of_endpoints(), stage.record(), "ejections are told all the same");
    stage.run(60_000, 20);
    assert_eq!(stage.remarks("failovers cannot be told"), 1);
}

#[test]
fn priorities_that_contradict_each_other_tell_no_home() {
    let far = "cn-hangzhou/cn-hangzhou-h";
    let other = vec![Host::new("10.0.9.1:1", far, 0), Host::new("10.0.9.2:1", HOME, 1)];
    let clusters = vec![Cluster::new(CLUSTER, hosts(1), 3, 2_000), Cluster::new("other", other, 3, 2_000)];
    let mut stage = Stage::of(Node::default(), RULES, clusters);
    stage.run(6_000, 50);
    assert_eq!(stage.remarks("home is"), 0, "{:?}", stage.proxy.logs());
    assert_eq!(stage.told(&["failover_"]), Vec::<String>::new());
    stage.assert_alive("contradicting priorities");
}
