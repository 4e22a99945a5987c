//! Tests of answers of the admin interface that are none, for one kind of question only or for all: the filter goes on
//! with what it knows, says once what it lacks, never traps, and keeps asking at a bounded rate.

use crate::admin::{Answer, Bad, Edition, Question};
use crate::balancer::{Cluster, Host, Traffic};
use crate::on_harness::{CLUSTER, HOME, NEAR, lines};
use crate::stage::Stage;
use serde_json::{Value, json};
use std::time::Duration;
use wasm_harness::HttpCall;

const A: &str = "10.0.1.1:8000";

/// What the proxy's rule is when Envoy cannot be asked; Envoy's own is the same.
const RULES: &str = r#"{"outlierDetection": {"consecutive5xxErrors": 3, "interval": "500ms", "baseEjectionTime": "3s",
    "maxEjectionTime": "3s", "maxEjectionPercent": 100}, "failover": {"window": "2s", "endAfter": "2s"}, "witness": {}}"#;

const QUESTIONS: [Question; 3] = [Question::Rules, Question::Hosts, Question::Counts];

fn stage() -> Stage {
    let hosts = vec![Host::new(A, HOME, 0), Host::new("10.0.1.2:8000", HOME, 0), Host::new("10.0.2.1:8000", NEAR, 1)];
    let mut stage = Stage::new(RULES, vec![Cluster::new(CLUSTER, hosts, 3, 3_000)]);
    stage.admin.counts_ejections = true;
    stage
}

/// Every way in which an answer can be bad.
fn bad() -> Vec<(&'static str, Bad)> {
    vec![
        ("403", Bad::Status(403)),
        ("400", Bad::Status(400)),
        ("503", Bad::Status(503)),
        ("nothing", Bad::Body(Vec::new())),
        ("not JSON", Bad::Body(b"<html>".to_vec())),
        ("a list", Bad::Body(b"[1, 2]".to_vec())),
        ("no UTF-8", Bad::Body(vec![0xff; 2_000])),
        ("deep", Bad::Body([vec![b'['; 200_000], vec![b']'; 200_000]].concat())),
        ("cut", Bad::Cut),
        ("huge", Bad::Padded(17 * 1024 * 1024)),
        ("none", Bad::Silence),
        ("reset", Bad::Reset),
    ]
}

/// The first host fails for a second and is well again.
fn outage(stage: &mut Stage) {
    stage.run(1_000, 80);
    stage.cluster().hosts[0].answers = vec![503];
    stage.run(1_000, 80);
    stage.cluster().hosts[0].answers = vec![200];
    stage.run(12_000, 80);
}

/// That the story is told once, and that Envoy was asked at a bounded rate and the lack was said at most once a VM.
fn assert_goes_on(stage: &Stage, what: &str) {
    stage.assert_alive(what);
    assert_eq!(stage.told_of_endpoints(), stage.record(), "{what}:\n{}", stage.all());
    assert_eq!(stage.told(&["error_streak"]), [format!("error_streak {A}")], "{what}");
    let asked = stage.admin.asked.len();
    assert!(asked < 400, "{what}: {asked} questions in 14 s");
    for said in ["how clusters eject cannot be read", "Until it answers"] {
        assert!(stage.remarks(said) <= 1, "{what}: {said} {} times", stage.remarks(said));
    }
}

#[test]
fn a_bad_answer_to_one_question_leaves_the_others_and_the_rules() {
    for question in QUESTIONS {
        for (how, bad) in bad() {
            let mut stage = stage();
            stage.admin.bad.push((question, bad));
            outage(&mut stage);
            let what = format!("{question:?}: {how}");
            assert_goes_on(&stage, &what);
            let late = stage.when("endpoint_ejected")[0].0 - stage.cluster().record[0].1;
            assert!(late < 4_000, "{what}: {late} ms late");
            let basis = if question == Question::Hosts { "inferred" } else { "witnessed" };
            let ejected = stage.when("endpoint_ejected").remove(0).1;
            assert_eq!(ejected["basis"], basis, "{what}: {ejected}");
            // An answer that never comes is waited for.
            stage.step_ms = 50;
            stage.run(30_000, 20);
            if question == Question::Rules {
                assert_eq!(stage.remarks("how clusters eject cannot be read"), 1, "{what}: what is lacking is said");
            }
            if question == Question::Hosts {
                let said = if how == "huge" { "lists of endpoints are over 16 MiB" } else { "Until it answers" };
                assert_eq!(stage.remarks(said), 1, "{what}: what is lacking is said");
            }
        }
    }
}

/// An answer to any question whose values lie deep in each other.
fn deep(levels: usize) -> Bad {
    let value = format!("{}0{}", "{\"a\":[".repeat(levels), "]}".repeat(levels));
    let cluster = format!(r#"{{"name": "{CLUSTER}", "a": {value}, "host_statuses": [{value}]}}"#);
    let body = format!(r#"{{"configs": [{value}], "cluster_statuses": [{cluster}], "stats": [{value}]}}"#);
    Bad::Body(body.into_bytes())
}

#[test]
fn answers_of_any_depth_are_survived() {
    for levels in [10, 60, 63, 64, 50_000] {
        let mut stage = stage();
        stage.admin.bad = QUESTIONS.iter().map(|question| (*question, deep(levels))).collect();
        outage(&mut stage);
        stage.assert_alive(&format!("{levels} levels"));
    }
}

#[test]
fn bad_answers_to_all_questions_leave_the_rules() {
    for (how, bad) in bad() {
        let mut stage = stage();
        stage.admin.bad = QUESTIONS.iter().map(|question| (*question, bad.clone())).collect();
        outage(&mut stage);
        assert_goes_on(&stage, how);
        // The interface is well again; from then on it is the witness.
        stage.admin.bad.clear();
        stage.step_ms = 50;
        stage.run(40_000, 20);
        stage.step_ms = 10;
        stage.proxy.take_logs();
        let before = stage.record().len();
        outage(&mut stage);
        assert_eq!(stage.told_of_endpoints(), stage.record()[before..], "{how}:\n{}", stage.all());
        let bases: Vec<Value> = lines(&stage.proxy).iter().map(|line| line["basis"].clone()).collect();
        assert!(!bases.contains(&json!("inferred")), "{how}: {bases:?}");
    }
}

/// Answers the oldest question if it has waited for so long.
fn answer_after(stage: &mut Stage, late: Duration) {
    let waited = |call: &HttpCall| stage.proxy.now() - call.made_at;
    let Some(call) = stage.proxy.calls().into_iter().find(|call| waited(call) >= late) else { return };
    if let Answer::Given(status, body) = stage.admin.answer(call.path()) {
        stage.proxy.answer(call.id, status, &[], &body);
    }
}

#[test]
fn a_late_answer_is_an_answer_or_none() {
    for late_ms in [300, 900, 1_500, 8_000] {
        let mut stage = stage();
        stage.run(1_000, 80);
        stage.cluster().hosts[0].answers = vec![503];
        for step in 0..1_400 {
            answer_after(&mut stage, Duration::from_millis(late_ms));
            if step % 2 == 0 {
                stage.request(0);
            }
            stage.proxy.advance(Duration::from_millis(10));
            let now = stage.now();
            stage.cluster().tick(now);
            if step == 100 {
                stage.cluster().hosts[0].answers = vec![200];
            }
        }
        let what = format!("{late_ms} ms late");
        stage.assert_alive(&what);
        let told = stage.told_of_endpoints();
        assert_eq!(told, stage.record(), "{what}:\n{}", stage.all());
    }
}

#[test]
fn a_refused_expression_is_asked_in_shorter_ones() {
    let mut stage = stage();
    // What Envoy takes where nothing is set.
    stage.admin.longest_regex = Some(100);
    outage(&mut stage);
    assert_goes_on(&stage, "short expressions only");
    assert_eq!(stage.when("endpoint_ejected").remove(0).1["basis"], "witnessed");
    assert_eq!(stage.remarks("how clusters eject cannot be read"), 0);
}

#[test]
fn an_older_envoy_that_ignores_parameters_lists_too_much_and_is_understood() {
    for clusters in [2, 40, 400] {
        let mut stage = stage();
        for n in 1..clusters {
            let hosts = vec![Host::new(&format!("10.3.{}.{}:80", n / 250, n % 250), HOME, 0)];
            let mut other = Cluster::new(&format!("other-{n}"), hosts, 3, 3_000);
            other.traffic = Traffic::None;
            stage.admin.clusters.push(other);
        }
        stage.admin.edition = Edition::ListsAll;
        outage(&mut stage);
        assert_goes_on(&stage, &format!("{clusters} clusters"));
        assert_eq!(stage.when("endpoint_ejected").remove(0).1["basis"], "witnessed", "{clusters}");
    }
}

#[test]
fn a_cluster_that_vanishes_between_question_and_answer_ends_nothing_wrongly() {
    for (what, gone_ms) in [("for a moment", 300), ("for long", 20_000)] {
        let mut stage = stage();
        stage.run(1_000, 80);
        stage.cluster().hosts[0].answers = vec![503];
        stage.run(1_000, 80);
        assert_eq!(stage.told_of_endpoints(), [format!("endpoint_ejected {A}")], "{what}");
        let mut cluster = stage.admin.clusters.remove(0);
        cluster.hosts = cluster.hosts.iter().map(Host::renewed).collect();
        stage.run(gone_ms, 80);
        stage.admin.clusters.push(cluster);
        stage.run(6_000, 80);
        stage.assert_alive(what);
        assert_eq!(stage.told(&["endpoint_returned"]), Vec::<String>::new(), "{what}:\n{}", stage.all());
        assert!(stage.admin.asked.len() < 600, "{what}: {} questions", stage.admin.asked.len());
    }
}

#[test]
fn rules_out_of_every_range_are_survived() {
    let huge = json!(u64::MAX);
    for (field, value) in [
        ("consecutive_5xx", huge.clone()),
        ("consecutive_5xx", json!(-1)),
        ("consecutive_5xx", json!("three")),
        ("enforcing_consecutive_5xx", json!(70_000)),
        ("interval", json!("0s")),
        ("interval", json!("99999999999999999999s")),
        ("interval", json!(["1s"])),
        ("base_ejection_time", json!("0s")),
        ("base_ejection_time", json!("-5s")),
        ("base_ejection_time", json!("315576000000s")),
        ("max_ejection_time", json!("0.000000001s")),
        ("max_ejection_time_jitter", json!("315576000000s")),
        ("max_ejection_percent", json!(900)),
        ("max_ejection_percent", huge),
    ] {
        let mut stage = stage();
        stage.cluster().rule.as_mut().unwrap()[field] = value.clone();
        outage(&mut stage);
        let what = format!("{field} {value}");
        stage.assert_alive(&what);
        // Envoy's own list tells what happens, whatever the rule says.
        assert_eq!(stage.told_of_endpoints(), stage.record(), "{what}:\n{}", stage.all());
        assert!(stage.admin.asked.len() < 800, "{what}: {} questions in 14 s", stage.admin.asked.len());
    }
}
