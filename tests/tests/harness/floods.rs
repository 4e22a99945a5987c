//! Tests of very much at once: a zone of hundreds of clusters that fails, and a mesh whose lists of hosts are long.

use crate::admin::{Edition, Question};
use crate::balancer::{Cluster, Host, Traffic};
use crate::on_harness::{HOME, NEAR};
use crate::stage::Stage;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn name(n: usize) -> String {
    format!("outbound|8080|v{}|payments-{n}.checkout-production.svc.cluster.local", n % 3)
}

/// A cluster of so many hosts in each of two zones.
fn cluster(n: usize, in_zone: usize, base_ms: u64) -> Cluster {
    let host = |k: usize, locality: &str, priority: u32| {
        Host::new(&format!("10.{}.{}.{}:80", priority * 100 + (n / 250) as u32, n % 250, k + 1), locality, priority)
    };
    let home = (0..in_zone).map(|k| host(k, HOME, 0));
    let hosts = home.chain((0..in_zone).map(|k| host(k, NEAR, 1))).collect();
    Cluster::new(&name(n), hosts, 3, base_ms)
}

fn config(more: &Value) -> String {
    let mut config = json!({
        "outlierDetection": {
            "consecutive5xxErrors": 3, "interval": "500ms", "baseEjectionTime": "8s", "maxEjectionTime": "8s",
            "maxEjectionPercent": 100,
        },
        "witness": {},
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config.to_string()
}

#[test]
fn when_a_zone_fails_every_failover_is_told_within_two_seconds() {
    for (what, clusters, more) in [
        ("eighty clusters", 80, json!({})),
        ("a thousand", 1_000, json!({})),
        ("without a witness", 300, json!({ "witness": null })),
        ("few lines a second", 60, json!({ "limits": { "eventsPerSecond": 5 } })),
    ] {
        let all: Vec<Cluster> = (0..clusters).map(|n| cluster(n, 1, 8_000)).collect();
        let mut stage = Stage::new(&config(&more), all);
        stage.run(2_000, 4);
        for cluster in &mut stage.admin.clusters {
            cluster.hosts[0].answers = vec![503];
        }
        stage.run(3_500, 4);
        let told: BTreeSet<String> =
            stage.when("failover_started").iter().map(|(_, line)| line["cluster"].to_string()).collect();
        assert_eq!(told.len(), clusters, "{what}: failovers that were told");
        let ejected = |cluster: &Cluster| (cluster.name.clone(), cluster.record[0].1);
        let ejected: BTreeMap<String, u64> = stage.admin.clusters.iter().map(ejected).collect();
        for (at, line) in stage.when("failover_started") {
            let late = at.saturating_sub(ejected[line["cluster"].as_str().unwrap()]);
            assert!(late <= 2_000, "{what}: {late} ms late: {line}");
        }
        stage.assert_alive(what);
    }
}

/// A mesh of which one cluster has requests and the first two hosts of it fail for three seconds.
fn outage_in_a_mesh(clusters: usize, edition: Edition) -> Stage {
    let mut all: Vec<Cluster> = (0..clusters).map(|n| cluster(n, 5, 8_000)).collect();
    for cluster in &mut all {
        // As long as Envoy's own entries.
        cluster.hosts.iter_mut().for_each(|host| host.more.push(("hostname", json!("x".repeat(400)))));
        cluster.traffic = Traffic::None;
    }
    all[..4].iter_mut().for_each(|cluster| cluster.traffic = Traffic::Seen);
    let mut stage = Stage::new(&config(&json!({})), all);
    stage.admin.edition = edition;
    stage.run(3_000, 20);
    stage.cluster().hosts[..2].iter_mut().for_each(|host| host.answers = vec![503]);
    stage.run(3_000, 20);
    stage.cluster().hosts[..2].iter_mut().for_each(|host| host.answers = vec![200]);
    stage.run(10_000, 20);
    stage
}

#[test]
fn in_a_large_mesh_every_envoy_is_a_witness() {
    for (what, clusters, edition) in [
        ("130 clusters, before 1.38", 130, Edition::ListsAll),
        ("1,000 clusters, before 1.38", 1_000, Edition::ListsAll),
        ("1,000 clusters, 1.38 and later", 1_000, Edition::Names),
    ] {
        let mut stage = outage_in_a_mesh(clusters, edition);
        let mut told = stage.told_of_endpoints();
        told.sort();
        let mut record = stage.record();
        record.sort();
        assert_eq!(told, record, "{what}:\n{}", stage.all());
        assert_eq!(record.len(), 4, "{what}: two ejections, two returns");
        let bases: BTreeSet<String> =
            stage.when("endpoint_ejected").iter().map(|(_, line)| line["basis"].to_string()).collect();
        assert_eq!(bases, BTreeSet::from(["\"witnessed\"".to_owned()]), "{what}");
        stage.assert_alive(what);

        // Envoy writes 50,000 bytes in a millisecond.
        let before = stage.admin.asked.len();
        stage.run(120_000, 5);
        let bytes: usize = stage.admin.asked[before..].iter().map(|(_, _, size)| size).sum();
        let share = bytes as f64 / 50_000.0 / 120_000.0;
        assert!(share < 0.012, "{what}: {:.1} % of the main thread in calm", share * 100.0);
    }
}

#[test]
fn where_envoy_takes_one_name_at_a_time_the_rules_of_many_are_read_in_parts() {
    const CLUSTERS: usize = 1_000;
    let mut stage = Stage::new(&config(&json!({})), (0..CLUSTERS).map(|n| cluster(n, 1, 8_000)).collect());
    stage.admin.longest_regex = Some(100);
    stage.run(20_000, 4);
    assert_eq!(stage.admin.clusters_without_rule(), Vec::<&str>::new());
    let rules = stage.admin.asked.iter().filter(|(question, ..)| *question == Question::Rules);
    let sizes: Vec<usize> = rules.map(|(.., size)| *size).collect();
    let (largest, total) = (sizes.iter().max().unwrap(), sizes.iter().sum::<usize>());
    assert!(largest * 10 < total, "the main thread stands still for no long answer: {largest} of {total} bytes");
    assert!(sizes.len() < CLUSTERS / 4, "{} questions", sizes.len());
    stage.assert_alive("short expressions");
}

#[test]
fn an_outage_is_told_while_the_rules_of_many_are_read() {
    let mut stage = Stage::new(&config(&json!({})), (0..1_000).map(|n| cluster(n, 3, 4_000)).collect());
    stage.admin.longest_regex = Some(100);
    stage.run(500, 10);
    stage.cluster().hosts[0].answers = vec![503];
    stage.run(2_000, 10);
    assert!(!stage.admin.clusters_without_rule().is_empty(), "the rules are not yet read");
    stage.cluster().hosts[0].answers = vec![200];
    stage.run(6_000, 10);
    assert_eq!(stage.told_of_endpoints(), stage.record(), "{}", stage.all());
    let ejected = stage.when("endpoint_ejected").remove(0);
    let late = ejected.0.saturating_sub(stage.cluster().record[0].1);
    assert!(late < 1_500 && ejected.1["basis"] == "witnessed", "{late} ms late: {}", ejected.1);
}

#[test]
fn lists_too_large_to_be_read_are_read_in_parts() {
    for edition in [Edition::ListsAll, Edition::Names] {
        let stage = outage_in_a_mesh(2_600, edition);
        let (mut told, mut record) = (stage.told_of_endpoints(), stage.record());
        told.sort();
        record.sort();
        assert_eq!(told, record, "{edition:?}:\n{}", stage.all());
        let large = stage.admin.asked.iter().filter(|(.., size)| *size > 16 * 1024 * 1024).count();
        assert!((1..=2).contains(&large), "{edition:?}: {large} answers were asked for in vain");
        let said = stage.remarks("lists of endpoints are over 16 MiB");
        assert_eq!(said, usize::from(edition == Edition::ListsAll), "{edition:?}");
        stage.assert_alive("a very large mesh");
    }
}

#[test]
fn an_outage_in_a_large_mesh_costs_a_tenth_of_the_main_thread_at_most() {
    let stage = outage_in_a_mesh(1_000, Edition::ListsAll);
    let bytes: usize = stage.admin.asked.iter().map(|(_, _, size)| size).sum();
    let share = bytes as f64 / 50_000.0 / 16_000.0;
    assert!(share < 0.1, "{:.1} %", share * 100.0);
    assert!(stage.admin.times(Question::Endpoints) > 0, "hosts of a few clusters are asked for");
}
