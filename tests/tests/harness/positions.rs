//! Tests of the filter in its other set-ups: with the witness, and in the upstream log, where it sees every attempt.

use crate::on_harness::{HOME, NEAR, endpoint, events, lines, proxy};
use filter_core::metric::Metric;
use std::time::Duration;
use wasm_harness::{Exchange, Fault, Harness, HttpCall, Status, Upstream};

const A: &str = "10.0.1.1:8000";
const B: &str = "10.0.2.1:8000";
const EJECTED: [&str; 2] = ["error_streak 10.0.1.1:8000", "endpoint_ejected 10.0.1.1:8000"];

fn config(more: &str) -> String {
    format!(
        r#"{{"outlierDetection": {{"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1,
            "consecutive5xxErrors": 2, "interval": "1s", "baseEjectionTime": "5s", "maxEjectionPercent": 100}}, {more}}}"#
    )
}

fn with_witness(workers: usize) -> Harness {
    proxy(workers, &config(r#""witness": {"cluster": "prometheus_stats"}"#))
}

/// Envoy's answer: the cluster's endpoints, each with whether it is ejected.
fn clusters(hosts: &[(&str, &str, bool)]) -> String {
    let host = |(address, locality, ejected): &(&str, &str, bool)| {
        let (ip, port) = address.split_once(':').unwrap();
        let mut zone = locality.split('/');
        serde_json::json!({
            "address": {"socket_address": {"address": ip, "port_value": port.parse::<u16>().unwrap()}},
            "locality": {"region": zone.next(), "zone": zone.next()},
            "health_status": {"failed_outlier_check": ejected, "eds_health_status": "HEALTHY"},
        })
    };
    let hosts: Vec<_> = hosts.iter().map(host).collect();
    serde_json::json!({"cluster_statuses": [{"name": crate::on_harness::CLUSTER, "host_statuses": hosts}]}).to_string()
}

fn answer_all(proxy: &mut Harness, hosts: &[(&str, &str, bool)]) -> Vec<HttpCall> {
    let calls = proxy.calls();
    for call in &calls {
        // Envoy has no such cluster in its dump: the configured rule counts.
        let dump = call.path().starts_with("/config_dump");
        let body = if dump { "{}".to_owned() } else { clusters(hosts) };
        proxy.answer(call.id, 200, &[("content-type", "application/json")], body.as_bytes());
    }
    calls
}

fn refused(address: &str, locality: &str) -> Exchange {
    Exchange::connect_refused(&endpoint(address, locality))
}

#[test]
fn an_ejection_is_reported_when_envoy_confirms_it_once_per_proxy() {
    for workers in [1, 2, 4] {
        let mut proxy = with_witness(workers);
        proxy.advance(Duration::from_millis(100));
        proxy.exchange(0, &refused(A, HOME));
        let calls = answer_all(&mut proxy, &[(A, HOME, true), (B, NEAR, false)]);
        assert_eq!(calls.len(), 1, "asked at once, by one worker");
        assert!(calls[0].path().starts_with("/clusters?format=json&filter=%5E(outbound%5C%7C8000"));
        assert_eq!(events(&proxy), EJECTED);
        assert_eq!(lines(&proxy)[1]["basis"], "witnessed");
        assert_eq!(lines(&proxy)[1]["reason"], "consecutive_local_origin_failure");
        for _ in 0..100 {
            proxy.advance(Duration::from_millis(50));
            answer_all(&mut proxy, &[(A, HOME, true), (B, NEAR, false)]);
        }
        assert_eq!(events(&proxy), EJECTED);
        proxy.advance(Duration::from_millis(200));
        answer_all(&mut proxy, &[(A, HOME, false), (B, NEAR, false)]);
        assert_eq!(events(&proxy)[2..], ["endpoint_returned 10.0.1.1:8000"]);
    }
}

#[test]
fn what_retries_hide_is_found() {
    let mut proxy = with_witness(2);
    proxy.advance(Duration::from_millis(100));
    proxy.exchange(1, &Exchange::ok(&endpoint(B, NEAR)).attempts(2));
    answer_all(&mut proxy, &[(A, HOME, true), (B, NEAR, false)]);
    assert_eq!(events(&proxy)[0], "endpoint_ejected 10.0.1.1:8000");
    assert_eq!(lines(&proxy)[0]["reason"], "other");
    proxy.exchange(1, &Exchange::ok(&endpoint(B, NEAR)));
    assert!(events(&proxy)[1].starts_with("failover_started ap-northeast-1/ap-northeast-1a"));
}

/// Envoy's answer: its count of ejections, all for local failures.
fn counts(ejections: u64) -> String {
    let stat = |name: &str| {
        let name = format!("cluster.{}.outlier_detection.ejections_enforced_{name}", crate::on_harness::CLUSTER);
        serde_json::json!({"name": name, "value": ejections})
    };
    let stats = ["consecutive_local_origin_failure", "total"].map(stat);
    serde_json::json!({ "stats": stats }).to_string()
}

#[test]
fn what_retries_hide_has_the_cause_that_envoys_count_proves() {
    for (status, reason) in [(200, "consecutive_local_origin_failure"), (503, "other")] {
        let mut proxy = with_witness(2);
        proxy.exchange(1, &Exchange::ok(&endpoint(B, NEAR)));
        let mut ejected = false;
        for _ in 0..5_000 {
            for call in proxy.calls() {
                if call.path().starts_with("/clusters") {
                    proxy.answer(call.id, 200, &[], clusters(&[(A, HOME, ejected), (B, NEAR, false)]).as_bytes());
                    assert!(status != 200 || events(&proxy).is_empty(), "not before its cause is known");
                } else if call.path().starts_with("/config_dump") {
                    proxy.answer(call.id, 200, &[], b"{}");
                } else {
                    let names = "(outbound%5C%7C8000%5C%7C%5C%7Cmockb%5C%2Edefault%5C%2Esvc%5C%2Ecluster%5C%2Elocal)";
                    let kinds = "ejections_(enforced%7Cdetected)_";
                    let filter = format!("%5Ecluster%5C.{names}%3B%3F%5C.outlier_detection%5C.{kinds}");
                    assert_eq!(call.path(), format!("/stats?format=json&filter={filter}"));
                    let status = if ejected { status } else { 200 };
                    proxy.answer(call.id, status, &[], counts(u64::from(ejected)).as_bytes());
                    if !ejected {
                        ejected = true;
                        proxy.exchange(1, &Exchange::ok(&endpoint(B, NEAR)).attempts(2));
                    }
                }
            }
            if !events(&proxy).is_empty() {
                break;
            }
            proxy.advance(Duration::from_millis(10));
        }
        assert_eq!(events(&proxy), ["endpoint_ejected 10.0.1.1:8000"]);
        assert_eq!((&lines(&proxy)[0]["reason"], &lines(&proxy)[0]["basis"]), (&reason.into(), &"witnessed".into()));
    }
}

#[test]
fn a_guess_that_envoy_refutes_becomes_a_blocked_ejection() {
    let mut proxy = with_witness(1);
    proxy.advance(Duration::from_millis(100));
    let hosts = [(A, HOME, false), (B, NEAR, false)];
    for refusals in [1, 2] {
        proxy.exchange(0, &refused(A, HOME));
        for _ in 0..10 {
            answer_all(&mut proxy, &hosts);
            proxy.advance(Duration::from_millis(50));
        }
        assert_eq!(events(&proxy).len(), refusals, "the second leaves no doubt");
    }
    assert_eq!(events(&proxy), ["error_streak 10.0.1.1:8000", "ejection_blocked 10.0.1.1:8000"]);
    assert_eq!(lines(&proxy)[1]["reason"], "not_enforced");
}

#[test]
fn answers_that_are_none_do_no_harm_and_the_rules_decide() {
    let huge = vec![b' '; 17 * 1024 * 1024];
    let cut = clusters(&[(A, HOME, true)]);
    let bad: [(u16, &[u8], &str); 6] = [
        (503, b"", "failed"),
        (200, b"", "invalid"),
        (200, b"<html>", "invalid"),
        (200, b"[1]", "invalid"),
        (200, &cut.as_bytes()[..cut.len() / 2], "invalid"),
        (200, &huge, "too_large"),
    ];
    for (status, body, result) in bad {
        let mut proxy = with_witness(2);
        proxy.advance(Duration::from_millis(100));
        proxy.exchange(0, &refused(A, HOME));
        for _ in 0..80 {
            for call in proxy.calls() {
                proxy.answer(call.id, status, &[], body);
            }
            proxy.advance(Duration::from_millis(50));
        }
        assert_eq!(events(&proxy), EJECTED, "{result}");
        assert_eq!(lines(&proxy)[1]["basis"], "inferred", "{result}");
        let polls = proxy.counter(&format!("result=.={result};.;faultline_witness_polls_total"));
        assert!(polls.is_some_and(|polls| polls > 0), "{result}: {polls:?}");
    }
}

#[test]
fn a_worker_that_never_hears_back_is_not_waited_for() {
    let mut proxy = with_witness(2);
    proxy.advance(Duration::from_millis(100));
    proxy.exchange(0, &refused(A, HOME));
    let lost = proxy.calls();
    assert_eq!(lost.len(), 1);
    // Its timeout arrives after one second as an answer without a body; by then another question is in progress.
    proxy.advance(Duration::from_millis(1_600));
    answer_all(&mut proxy, &[(A, HOME, true)]);
    assert_eq!(events(&proxy), EJECTED);
    assert_eq!(lines(&proxy)[1]["basis"], "witnessed");
}

#[test]
fn once_envoy_answers_one_worker_again_all_wait_for_its_word() {
    let mut proxy = with_witness(2);
    proxy.advance(Duration::from_millis(100));
    for worker in [0, 1] {
        proxy.exchange(worker, &refused(A, HOME));
    }
    for _ in 0..200 {
        for call in proxy.calls() {
            proxy.answer(call.id, 503, &[], b"");
        }
        proxy.advance(Duration::from_millis(50));
    }
    assert_eq!(lines(&proxy)[1]["basis"], "inferred", "{:?}", lines(&proxy));
    let healthy = [(A, HOME, false), (B, NEAR, false)];
    while answer_all(&mut proxy, &healthy).is_empty() {
        proxy.advance(Duration::from_millis(10));
    }
    let before = events(&proxy).len();
    for (worker, address, locality) in [(0, A, HOME), (1, B, NEAR)] {
        proxy.exchange(worker, &refused(address, locality));
    }
    let ejected = |proxy: &Harness| {
        let told = lines(proxy).into_iter().skip(before);
        told.filter(|line| line["faultline"] == "endpoint_ejected")
            .map(|line| line["basis"].clone())
            .collect::<Vec<_>>()
    };
    assert!(ejected(&proxy).is_empty(), "{:?}", lines(&proxy));
    while ejected(&proxy).is_empty() {
        proxy.advance(Duration::from_millis(10));
        answer_all(&mut proxy, &[(A, HOME, true), (B, NEAR, true)]);
    }
    assert_eq!(ejected(&proxy), ["witnessed", "witnessed"]);
}

#[test]
fn without_the_cluster_that_is_to_be_asked_the_rules_decide_at_once_and_it_is_said_once() {
    let mut proxy = proxy(2, &config(r#""witness": {"cluster": "no_such_cluster"}"#));
    proxy.exchange(0, &Exchange::ok(&endpoint(A, HOME)));
    proxy.advance(Duration::from_secs(2));
    proxy.exchange(0, &refused(A, HOME));
    assert_eq!(events(&proxy), EJECTED, "nothing is waited for");
    proxy.exchange(1, &Exchange::ok(&endpoint(B, NEAR)));
    assert_eq!(lines(&proxy)[2]["healthy_at_home"], 0);
    proxy.advance(Duration::from_secs(100));
    let said = proxy.logs().iter().filter(|line| line.message.contains("there is no such cluster")).count();
    assert_eq!(said, 1);
}

#[test]
fn while_all_is_well_envoy_is_asked_seldom() {
    let mut proxy = with_witness(4);
    let mut calls = 0;
    for _ in 0..600 {
        proxy.exchange(0, &Exchange::ok(&endpoint(A, HOME)));
        proxy.advance(Duration::from_millis(100));
        calls += answer_all(&mut proxy, &[(A, HOME, false)]).len();
    }
    // Rules of both origins, six lists of the cluster and six of all.
    assert!((2..=14).contains(&calls), "{calls} in a minute");
}

#[test]
fn a_gauge_that_was_set_wrong_is_right_with_the_next_heartbeats() {
    let mut proxy = with_witness(2);
    proxy.advance(Duration::from_millis(100));
    proxy.exchange(0, &refused(A, HOME));
    answer_all(&mut proxy, &[(A, HOME, true), (B, NEAR, false)]);
    let series = Metric::EjectedEndpoints.stat_name(&[crate::on_harness::CLUSTER, HOME]);
    let gauge = |proxy: &Harness| proxy.gauge(&series);
    assert_eq!(gauge(&proxy), Some(1));
    while events(&proxy).last().is_none_or(|event| !event.starts_with("endpoint_returned")) {
        proxy.advance(Duration::from_millis(10));
        for call in proxy.calls() {
            // As if another worker, which is late, set it to its previous value.
            proxy.fault(Fault::new("proxy_record_metric", Status(10)).times(2));
            proxy.answer(call.id, 200, &[], clusters(&[(A, HOME, false), (B, NEAR, false)]).as_bytes());
        }
    }
    assert_eq!(gauge(&proxy), Some(1), "the fault did what it was for");
    proxy.advance(Duration::from_secs(3));
    assert_eq!(gauge(&proxy), Some(0));
}

/// An attempt in the upstream log.
fn attempt(proxy: &mut Harness, exchange: &Exchange) {
    let root = proxy.root();
    proxy.upstream_log(0, root, exchange);
}

fn upstream_log() -> Harness {
    proxy(2, &config(r#""attempts": "upstreamLog""#))
}

fn attempts(proxy: &mut Harness, upstream: &Upstream, outcome: &str) -> Option<u64> {
    proxy.advance(Duration::from_secs(2));
    let locality = if upstream.address() == A { HOME } else { NEAR };
    proxy.counter(&format!(
        "upstream_cluster=.={};.;upstream_locality=.={locality};.;outcome=.={outcome};.;faultline_attempts_total",
        crate::on_harness::CLUSTER
    ))
}

#[test]
fn each_attempt_is_judged_and_counted_once_with_its_own_endpoint() {
    let mut proxy = upstream_log();
    let (a, b) = (endpoint(A, HOME), endpoint(B, NEAR));
    attempt(&mut proxy, &Exchange::connect_refused(&a));
    attempt(&mut proxy, &Exchange::ok(&b));
    proxy.exchange(0, &Exchange::ok(&b).attempts(2));
    let told = events(&proxy);
    assert_eq!(told[..2], EJECTED);
    assert!(told[2].starts_with("failover_started"));
    assert_eq!(told.len(), 3);
    assert_eq!(attempts(&mut proxy, &a, "local_origin"), Some(1));
    assert_eq!(attempts(&mut proxy, &b, "success"), Some(1));
}

#[test]
fn what_the_upstream_log_cannot_tell_apart_the_filter_settles() {
    let a = endpoint(A, HOME);
    // The route's timeout is charged, although the log shows neither flags nor code.
    let mut proxy = upstream_log();
    attempt(&mut proxy, &Exchange::timeout(&a));
    assert!(events(&proxy).is_empty());
    proxy.exchange(0, &Exchange::timeout(&a));
    assert_eq!(events(&proxy), EJECTED);
    // A client that left is charged to no endpoint.
    let mut proxy = upstream_log();
    attempt(&mut proxy, &Exchange::client_cancel(&a));
    proxy.exchange(0, &Exchange::client_cancel(&a));
    assert!(events(&proxy).is_empty());
}

#[test]
fn the_http_filter_alone_counts_no_attempt_in_this_mode() {
    let mut proxy = upstream_log();
    let a = endpoint(A, HOME);
    for _ in 0..5 {
        proxy.exchange(0, &Exchange::connect_refused(&a));
        proxy.exchange(1, &Exchange::status(&a, 500));
    }
    assert!(events(&proxy).is_empty());
    assert_eq!(attempts(&mut proxy, &a, "local_origin"), None);
}

#[test]
fn no_healthy_upstream_is_told_in_this_mode_too() {
    let mut proxy = upstream_log();
    let a = endpoint(A, HOME);
    proxy.exchange(0, &Exchange::no_healthy_upstream(&a));
    proxy.advance(Duration::from_millis(100));
    attempt(&mut proxy, &Exchange::ok(&a));
    assert_eq!(events(&proxy), ["no_healthy_upstream", "upstream_recovered"]);
}
