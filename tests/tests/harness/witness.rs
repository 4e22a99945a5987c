//! Tests of what Envoy's word is worth: ejections that Envoy decides for its own reasons and its own time, hosts that
//! are listed in unusual ways, and how seldom Envoy is asked when there is nothing to ask about.

use crate::admin::{Bad, Edition, Question};
use crate::balancer::{Cluster, Host, Traffic};
use crate::on_harness::{CLUSTER, HOME, NEAR, endpoint, lines};
use crate::stage::Stage;
use filter_core::metric::Metric;
use serde_json::{Value, json};
use wasm_harness::Exchange;

const A: &str = "10.0.1.1:8000";
const B: &str = "10.0.1.2:8000";
const C: &str = "10.0.1.3:8000";
const D: &str = "10.0.2.1:8000";

/// Three hosts at home and one in the next zone.
fn hosts() -> Vec<Host> {
    vec![Host::new(A, HOME, 0), Host::new(B, HOME, 0), Host::new(C, HOME, 0), Host::new(D, NEAR, 1)]
}

/// A configuration that says that three errors eject for `base`.
fn config(base: &str) -> Value {
    json!({
        "outlierDetection": {
            "consecutive5xxErrors": 3, "interval": "500ms", "baseEjectionTime": base, "maxEjectionTime": base,
            "maxEjectionPercent": 100,
        },
        "failover": { "window": "2s", "endAfter": "2s" },
        "witness": {},
    })
}

/// Has the first host fail for a second and be well again, with requests all the time.
fn fail_for_a_second(stage: &mut Stage, rate: u64) {
    stage.run(1_000, rate);
    stage.cluster().hosts[0].answers = vec![503];
    stage.run(1_000, rate);
    stage.cluster().hosts[0].answers = vec![200];
}

/// That ejections and returns are told as Envoy decided them, each once, by its word, and none later than `late`.
fn assert_told_as_decided(stage: &Stage, late: u64, what: &str) {
    let told: Vec<String> = stage.told_of_endpoints();
    assert_eq!(told, stage.record(), "{what}:\n{}", stage.all());
    assert!(!told.is_empty(), "{what}: the detector did something");
    for line in lines(&stage.proxy).iter().filter(|line| line["faultline"].as_str().unwrap().starts_with("endpoint_")) {
        // A cluster that no request names is asked about too seldom for each return to be seen.
        let is_seen = line["cluster"] != "shadow";
        assert!(!is_seen || line["basis"] == "witnessed", "{what}: {line}\n{}", stage.all());
    }
    let mut when: Vec<u64> = stage.when("endpoint_ejected").iter().map(|(at, _)| *at).collect();
    when.extend(stage.when("endpoint_returned").iter().map(|(at, _)| *at));
    when.sort_unstable();
    let mut did: Vec<u64> = stage.admin.clusters.iter().flat_map(|c| c.record.iter().map(|(_, at)| *at)).collect();
    did.sort_unstable();
    for (told, did) in when.iter().zip(&did) {
        assert!(told - did <= late, "{what}: told {} ms late\n{}", told - did, stage.all());
    }
}

#[test]
fn an_ejection_lasts_as_long_as_envoy_says_whatever_is_configured() {
    for (what, configured, envoys_ms, knows_rule) in [
        ("configured shorter", config("2s"), 9_000, true),
        ("configured shorter, Envoy's rule unknown", config("2s"), 9_000, false),
        ("nothing configured", json!({ "witness": {} }), 42_000, true),
        ("configured longer", config("60s"), 3_000, true),
    ] {
        let mut stage = Stage::new(&configured.to_string(), vec![Cluster::new(CLUSTER, hosts(), 3, envoys_ms)]);
        if !knows_rule {
            stage.admin.bad.push((Question::Rules, Bad::Status(403)));
        }
        fail_for_a_second(&mut stage, 80);
        stage.run(envoys_ms + 4_000, 80);
        assert_told_as_decided(&stage, 1_100, what);
        assert_eq!(stage.record().len(), 2, "{what}");
    }
}

#[test]
fn ejections_that_no_streak_announces_are_found() {
    for (what, rate, position) in [
        ("success rate", "enforcing_success_rate", "final"),
        ("failure percentage", "enforcing_failure_percentage", "final"),
        ("success rate, upstream log", "enforcing_success_rate", "upstreamLog"),
        ("success rate, split", "enforcing_local_origin_success_rate", "final"),
    ] {
        let mut cluster = Cluster::new(CLUSTER, hosts(), 50, 2_000);
        let rule = cluster.rule.as_mut().unwrap();
        rule[rate] = json!(100);
        rule["interval"] = json!("1s");
        rule["split_external_local_origin_errors"] = json!(rate.contains("local_origin"));
        let mut config = config("2s");
        config["outlierDetection"]["consecutive5xxErrors"] = json!(50);
        config["attempts"] = json!(position);
        let mut stage = Stage::new(&config.to_string(), vec![cluster]);
        stage.upstream_log = (position == "upstreamLog").then(|| stage.proxy.root());
        stage.run(1_500, 100);
        stage.cluster().hosts[0].answers = vec![503, 200];
        for _ in 0..2 {
            stage.run(1_500, 100);
            let now = stage.now();
            stage.cluster().eject(0, now);
            stage.run(4_000, 100);
        }
        assert_told_as_decided(&stage, 1_100, what);
        assert_eq!(stage.record().len(), 4, "{what}");
    }
}

#[test]
fn a_new_host_under_the_address_of_an_ejected_one_is_no_return() {
    type Replace = fn(&mut Stage);
    let ways: [(&str, Replace); 4] = [
        ("replaced between two questions", |stage| stage.cluster().hosts[0] = stage.cluster().hosts[0].renewed()),
        ("gone for 30 ms", |stage| leave_for(stage, 30)),
        ("gone for three seconds", |stage| leave_for(stage, 3_000)),
        ("back in another zone", |stage| {
            stage.cluster().hosts[0] = Host::new(A, NEAR, 1);
        }),
    ];
    for (what, replace) in ways {
        let mut stage = Stage::new(&config("8s").to_string(), vec![Cluster::new(CLUSTER, hosts(), 3, 8_000)]);
        fail_for_a_second(&mut stage, 80);
        stage.run(1_000, 80);
        replace(&mut stage);
        stage.run(12_000, 80);
        let expected = [format!("endpoint_ejected {A}"), format!("endpoint_removed {A}")];
        assert_eq!(stage.told_of_endpoints(), expected, "{what}:\n{}", stage.all());
        let gauge = stage.proxy.gauge(&Metric::EjectedEndpoints.stat_name(&[CLUSTER, HOME]));
        assert_eq!(gauge, Some(0), "{what}: nothing is ejected any more");
    }
}

/// The first host leaves the cluster, and a new one with its address comes after a while.
fn leave_for(stage: &mut Stage, millis: u64) {
    let host = stage.cluster().hosts.remove(0).renewed();
    stage.run(millis, 80);
    stage.cluster().hosts.insert(0, host);
}

#[test]
fn an_address_that_is_listed_twice_is_ejected_while_any_host_of_it_is() {
    for (what, ejected, priority) in [
        ("the first is ejected", &[0][..], 0),
        ("the second is ejected", &[1], 0),
        ("both are, one later than the other", &[0, 1], 0),
        ("in two priorities", &[1], 1),
    ] {
        let twice = vec![Host::new(A, HOME, 0), Host::new(A, HOME, priority), Host::new(B, HOME, 0)];
        let mut cluster = Cluster::new(CLUSTER, twice, 3, 2_000);
        cluster.ejections = 1;
        let mut stage = Stage::new(&config("2s").to_string(), vec![cluster]);
        stage.run(1_000, 60);
        for host in ejected {
            // Three errors that the filter sees, of which Envoy counts each for one of the two.
            for _ in 0..3 {
                let error = endpoint(A, HOME);
                stage.play(&Exchange::status(&error, 503));
            }
            let now = stage.now();
            stage.cluster().eject(*host, now);
            stage.run(700, 60);
        }
        stage.run(6_000, 60);
        let expected = [format!("endpoint_ejected {A}"), format!("endpoint_returned {A}")];
        assert_eq!(stage.told_of_endpoints(), expected, "{what}:\n{}", stage.all());
        let (returned, last) = (stage.when("endpoint_returned")[0].0, stage.cluster().record.last().unwrap().1);
        assert!(returned >= last, "{what}: told at {returned} ms, over at {last} ms");
    }
}

#[test]
fn every_kind_of_address_is_witnessed() {
    for address in ["envoy://connect_originate/10.1.0.1:8080", "envoy://il/", "/run/app.sock", "[fd00::1]:8080"] {
        let mut hosts = hosts();
        hosts[0].address = address.to_owned();
        let mut stage = Stage::new(&config("2s").to_string(), vec![Cluster::new(CLUSTER, hosts, 3, 2_000)]);
        fail_for_a_second(&mut stage, 80);
        stage.run(5_000, 80);
        assert_told_as_decided(&stage, 1_100, address);
    }
}

#[test]
fn clusters_that_no_request_names_are_witnessed() {
    for (what, idle_ms, edition) in [
        ("at once", 1_000, Edition::Names),
        ("at once, an Envoy that lists all", 1_000, Edition::ListsAll),
        ("after a minute without requests", 60_000, Edition::Names),
    ] {
        let seen = Cluster::new(CLUSTER, hosts(), 3, 4_000);
        let mut shadow =
            Cluster::new("shadow", vec![Host::new("10.0.3.1:1", HOME, 0), Host::new(D, HOME, 0)], 3, 4_000);
        shadow.traffic = Traffic::None;
        let mut stage = Stage::new(&config("4s").to_string(), vec![seen, shadow]);
        stage.admin.edition = edition;
        stage.run(idle_ms, 20);
        stage.admin.clusters[1].traffic = Traffic::Unseen;
        // Long enough for a proxy that found nothing new for long to look again.
        stage.run(40_000, 20);
        stage.admin.clusters[1].hosts[0].answers = vec![503];
        stage.run(9_000, 20);
        stage.admin.clusters[1].hosts[0].answers = vec![200];
        stage.run(9_000, 20);
        assert_told_as_decided(&stage, 1_600, what);
    }
}

#[test]
fn what_cannot_change_without_traffic_is_not_asked() {
    for (what, errors, rate, edition) in [
        ("two errors", 2, 0, Edition::Names),
        ("two errors, an Envoy that lists all", 2, 0, Edition::ListsAll),
        ("one error", 1, 0, Edition::Names),
        ("two errors among healthy requests to others", 2, 1, Edition::Names),
    ] {
        let other = Cluster::new("other", vec![Host::new("10.0.9.1:1", HOME, 0)], 3, 4_000);
        let mut stage = Stage::new(&config("2s").to_string(), vec![Cluster::new(CLUSTER, hosts(), 3, 2_000), other]);
        stage.admin.edition = edition;
        stage.run(500, 20);
        stage.cluster().hosts.iter_mut().for_each(|host| host.answers = vec![503]);
        (0..errors).for_each(|_| stage.request(0));
        stage.cluster().traffic = Traffic::None;
        stage.run(5_000, rate);
        let before = (stage.admin.times(Question::Hosts), stage.admin.asked.len());
        stage.run(60_000, rate);
        let after = (stage.admin.times(Question::Hosts), stage.admin.asked.len());
        let (lists, all) = (after.0 - before.0, after.1 - before.1);
        // With traffic elsewhere, the calm lists of the other cluster are asked for once a second at most.
        let most = if rate == 0 { 8 } else { 70 };
        assert!(lists <= most && all <= most + 4, "{what}: {lists} lists of hosts, {all} questions in a minute");
        let about = stage.admin.asked[before.1..].iter().filter(|(_, path, _)| path.contains("mockb")).count();
        assert!(about <= 4, "{what}: {about} questions in a minute about a cluster without requests");
        assert_eq!(stage.told_of_endpoints(), Vec::<String>::new(), "{what}");
    }
}
