//! Notifications: what the filter posts to a receiver when a failover, or a cluster without a healthy endpoint, starts
//! and ends.
//!
//! They run on the harness to test everything that a receiver can do wrong. The group `monitoring` tests them with a
//! real Alertmanager.

use std::time::Duration;

use serde_json::{Value, json};
use wasm_harness::{Cluster as Reached, Exchange, Harness, HttpCall, Node};

use crate::on_harness::{CLUSTER, FAR, HOME, NEAR, endpoint, events, module};

const A: &str = "10.0.1.1:8000";
const B: &str = "10.0.2.1:8000";
const C: &str = "10.0.3.1:8000";
const RECEIVER: &str = "outbound|9093||alertmanager.monitoring.svc.cluster.local";
const TO_ZONE: &str = "FaultlineFailoverToAnotherZone";
const TO_REGION: &str = "FaultlineFailoverToAnotherRegion";
const NONE_HEALTHY: &str = "FaultlineNoHealthyUpstream";

/// A node whose turn comes at once: the hash of its id waits 0 ms for a start, and 59.8 s for a repetition.
const FIRST: &str = "sidecar~10.0.0.1~client.default~1094141";

/// A proxy that notifies `RECEIVER` when its turn comes, which is at once; `more` has further fields of `notify`.
fn proxy(workers: usize, more: Value) -> Harness {
    node(FIRST, workers, more)
}

/// A proxy with this node id.
fn node(id: &str, workers: usize, more: Value) -> Harness {
    let mut notify = json!({ "cluster": RECEIVER });
    notify.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let outlier =
        json!({ "consecutive5xxErrors": 1, "interval": "1s", "baseEjectionTime": "5s", "maxEjectionPercent": 100 });
    let failover = json!({ "window": "2s", "endAfter": "2s" });
    let config = json!({ "outlierDetection": outlier, "failover": failover, "notify": notify }).to_string();
    let node = Node { id: id.into(), ..Node::at(HOME) };
    let builder = Harness::builder().workers(workers).node(node).cluster(RECEIVER).config(config);
    let mut proxy = builder.build(module()).expect("the module starts");
    proxy.advance(Duration::from_millis(200));
    proxy
}

fn seconds(proxy: &mut Harness, seconds: u64) {
    proxy.advance(Duration::from_secs(seconds));
}

/// Lets the filter send, and takes what it sent.
fn sent(proxy: &mut Harness) -> Vec<HttpCall> {
    proxy.advance(Duration::from_millis(5));
    proxy.calls()
}

/// Waits for the filter to send.
fn next_call(proxy: &mut Harness) -> HttpCall {
    for _ in 0..600 {
        if let Some(call) = proxy.calls().pop() {
            return call;
        }
        proxy.advance(Duration::from_millis(100));
    }
    panic!("nothing was sent in a minute")
}

/// Answers the only call there is.
fn answered(proxy: &mut Harness, status: u16) -> Value {
    let calls = sent(proxy);
    assert_eq!(calls.len(), 1, "{calls:?}");
    proxy.answer(calls[0].id, status, &[], b"").expect("it waits");
    serde_json::from_slice(&calls[0].body).expect("JSON")
}

/// The endpoint at home fails on worker 0, and another one serves on the last worker.
fn fail_over(proxy: &mut Harness, to: &str, at: &str) {
    proxy.exchange(0, &Exchange::status(&endpoint(A, HOME), 500));
    proxy.exchange(proxy.workers() - 1, &Exchange::ok(&endpoint(to, at)));
}

/// Home serves again, until the failover must have ended.
fn come_home(proxy: &mut Harness) {
    seconds(proxy, 7);
    for _ in 0..12 {
        proxy.exchange(0, &Exchange::ok(&endpoint(A, HOME)));
        proxy.advance(Duration::from_millis(500));
        if proxy.calls().iter().any(|call| String::from_utf8_lossy(&call.body).contains("endsAt")) {
            return;
        }
    }
}

fn names(alerts: &Value) -> Vec<(String, bool)> {
    let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned();
    alerts.as_array().unwrap().iter().map(|alert| (name(alert), alert["endsAt"].is_string())).collect()
}

fn count(proxy: &Harness, result: &str) -> Option<u64> {
    proxy.counter(&format!("result=.={result};.;faultline_notifications_total"))
}

#[test]
fn start_and_end_are_posted_at_once_and_once_per_proxy() {
    for workers in [1, 2, 4] {
        let mut proxy = proxy(workers, json!({ "labels": { "team": "payments" } }));
        fail_over(&mut proxy, B, NEAR);
        let call = sent(&mut proxy).remove(0);
        let head = [":method", ":path", ":authority", "content-type"].map(|name| call.header(name));
        assert_eq!(head, ["POST", "/api/v2/alerts", "alertmanager.monitoring.svc.cluster.local", "application/json"]);
        let alerts = answered(&mut proxy, 200);
        assert_eq!(names(&alerts), [(TO_ZONE.to_owned(), false)]);
        let labels = &alerts[0]["labels"];
        assert_eq!((&labels["failover_from"], &labels["failover_to"]), (&HOME.into(), &NEAR.into()));
        assert_eq!((&labels["upstream_cluster"], &labels["team"]), (&CLUSTER.into(), &"payments".into()));
        assert_eq!(labels["proxy"], "client.default");
        seconds(&mut proxy, 3);
        assert_eq!(proxy.calls().len(), 0, "{workers} workers: told once");
        come_home(&mut proxy);
        let ended = answered(&mut proxy, 200);
        assert_eq!(names(&ended), [(TO_ZONE.to_owned(), true)]);
        assert_eq!(&ended[0]["labels"], labels, "Alertmanager knows an alert by its labels");
        seconds(&mut proxy, 200);
        assert_eq!((proxy.calls().len(), count(&proxy, "ok")), (0, Some(2)), "{workers} workers");
    }
}

/// A node whose start waits 3.13 s, and whose open alerts are repeated each 39 s.
const LATER: &str = "sidecar~10.0.0.1~client.default~default.svc.cluster.local";

#[test]
fn in_a_fleet_a_start_waits_for_the_proxys_turn_and_a_lost_service_does_not() {
    for workers in [1, 4] {
        let mut proxy = node(LATER, workers, json!({}));
        fail_over(&mut proxy, B, NEAR);
        proxy.advance(Duration::from_millis(3_000));
        assert_eq!(proxy.calls().len(), 0, "not yet");
        proxy.exchange(0, &Exchange::no_healthy_upstream(&endpoint(A, HOME)));
        assert_eq!(names(&answered(&mut proxy, 200)), [(NONE_HEALTHY.to_owned(), false)]);
        proxy.advance(Duration::from_millis(300));
        assert_eq!(names(&answered(&mut proxy, 200)), [(TO_ZONE.to_owned(), false)]);
        assert_eq!(count(&proxy, "ok"), Some(2), "{workers} workers: once per proxy");
    }
}

#[test]
fn one_proxy_in_so_many_posts_failovers_and_all_post_a_lost_service() {
    let mut proxy = node(LATER, 2, json!({ "oneIn": 100 }));
    fail_over(&mut proxy, B, NEAR);
    seconds(&mut proxy, 11);
    assert_eq!((proxy.calls().len(), count(&proxy, "dropped")), (0, None));
    proxy.exchange(0, &Exchange::no_healthy_upstream(&endpoint(A, HOME)));
    assert_eq!(names(&answered(&mut proxy, 200)), [(NONE_HEALTHY.to_owned(), false)]);
    assert!(events(&proxy).iter().any(|event| event.starts_with("failover_started")), "it is logged all the same");
}

#[test]
fn one_that_moves_on_resolves_the_old_alert_and_opens_the_new_in_one_post() {
    let mut proxy = proxy(2, json!({}));
    fail_over(&mut proxy, B, NEAR);
    answered(&mut proxy, 200);
    for _ in 0..12 {
        proxy.exchange(1, &Exchange::ok(&endpoint(C, FAR)));
        proxy.advance(Duration::from_millis(300));
    }
    assert_eq!(names(&answered(&mut proxy, 200)), [(TO_ZONE.to_owned(), true), (TO_REGION.to_owned(), false)]);
}

#[test]
fn an_open_alert_is_told_again_by_one_worker_and_not_for_ever() {
    let mut proxy = proxy(4, json!({}));
    proxy.exchange(0, &Exchange::no_healthy_upstream(&endpoint(A, HOME)));
    let first = answered(&mut proxy, 200);
    assert_eq!((names(&first), &first[0]["endsAt"]), (vec![(NONE_HEALTHY.to_owned(), false)], &Value::Null));
    for _ in 0..3 {
        seconds(&mut proxy, 58);
        assert_eq!(proxy.calls().len(), 0);
        seconds(&mut proxy, 2);
        assert_eq!(answered(&mut proxy, 200), first);
    }
    // A service that gets no more requests is not reported as broken for ever.
    let mut times = 0;
    for _ in 0..2_200 {
        seconds(&mut proxy, 2);
        times += proxy.calls().len();
        proxy.calls().iter().for_each(|call| drop(proxy.answer(call.id, 200, &[], b"")));
    }
    assert!((50..=60).contains(&times), "{times} times");
}

#[test]
fn a_failover_that_lasts_is_told_again_as_it_began() {
    let mut proxy = proxy(4, json!({}));
    fail_over(&mut proxy, B, NEAR);
    let first = answered(&mut proxy, 200);
    let mut again = Vec::new();
    for i in 0..260 {
        proxy.exchange(i % 4, &Exchange::status(&endpoint(A, HOME), 500));
        proxy.exchange((i + 1) % 4, &Exchange::ok(&endpoint(B, NEAR)));
        proxy.advance(Duration::from_millis(500));
        for call in proxy.calls() {
            again.push(serde_json::from_slice::<Value>(&call.body).expect("JSON"));
            proxy.answer(call.id, 200, &[], b"");
        }
    }
    assert_eq!(again, [first.clone(), first], "in 130 seconds");
}

#[test]
fn a_receiver_in_trouble_is_asked_again_later_and_later_and_then_given_up_on() {
    for status in [500, 503, 408, 429] {
        let mut proxy = proxy(2, json!({ "retries": 3 }));
        fail_over(&mut proxy, B, NEAR);
        let started = proxy.now();
        let first = answered(&mut proxy, status);
        let mut at = Vec::new();
        while proxy.now() - started < Duration::from_secs(30) {
            proxy.advance(Duration::from_millis(100));
            for call in proxy.calls() {
                at.push((proxy.now() - started).as_millis() / 500);
                assert_eq!(serde_json::from_slice::<Value>(&call.body).unwrap(), first);
                proxy.answer(call.id, status, &[], b"");
            }
        }
        assert_eq!(at, [1, 3, 7], "after 0.5, 1.5 and 3.5 s: {status}");
        assert_eq!((count(&proxy, "failed"), count(&proxy, "ok")), (Some(1), None), "{status}");
        let said = proxy.logs().iter().filter(|line| line.message.contains("notify: cluster")).count();
        assert_eq!(said, 1, "{status}");
    }
}

#[test]
fn a_receiver_that_comes_back_in_time_gets_it() {
    let mut proxy = proxy(2, json!({ "format": "webhook", "path": "/hook" }));
    proxy.set_cluster(RECEIVER, Some(Reached::NoEndpoint));
    fail_over(&mut proxy, B, NEAR);
    seconds(&mut proxy, 1);
    proxy.set_cluster(RECEIVER, None);
    seconds(&mut proxy, 1);
    proxy.set_cluster(RECEIVER, Some(Reached::Up));
    // One answer never arrives, then the connection breaks.
    next_call(&mut proxy);
    seconds(&mut proxy, 2);
    assert_eq!(proxy.calls().len(), 0, "it was given up");
    let broken = next_call(&mut proxy);
    proxy.reset_call(broken.id);
    next_call(&mut proxy);
    let body = answered(&mut proxy, 204);
    assert_eq!((&body["faultline"], &body["to"]), (&"failover_started".into(), &NEAR.into()));
    assert_eq!((broken.path(), count(&proxy, "ok"), count(&proxy, "failed")), ("/hook", Some(1), None));
}

#[test]
fn what_a_module_left_unanswered_its_successor_sends_again() {
    let mut proxy = proxy(2, json!({}));
    fail_over(&mut proxy, B, NEAR);
    let left = next_call(&mut proxy).body;
    proxy.reload(module()).expect("reloads");
    assert_eq!(proxy.calls().len(), 0, "the old module is gone, and its call with it");
    assert_eq!(next_call(&mut proxy).body, left);
    answered(&mut proxy, 200);
    seconds(&mut proxy, 30);
    assert_eq!((proxy.calls().len(), count(&proxy, "ok")), (0, Some(1)));
}

#[test]
fn what_is_refused_is_not_sent_again_and_traffic_never_notices() {
    let mut proxy = proxy(2, json!({}));
    fail_over(&mut proxy, B, NEAR);
    answered(&mut proxy, 400);
    // A retry would come within a second; the failover ends later.
    seconds(&mut proxy, 3);
    assert_eq!((proxy.calls().len(), count(&proxy, "failed")), (0, Some(1)));
    // Every request costs the same as without it.
    come_home(&mut proxy);
    sent(&mut proxy).iter().for_each(|call| drop(proxy.answer(call.id, 200, &[], b"")));
    seconds(&mut proxy, 20);
    proxy.exchange(0, &Exchange::ok(&endpoint(A, HOME)));
    proxy.reset_costs();
    for _ in 0..100 {
        proxy.exchange(0, &Exchange::ok(&endpoint(A, HOME)));
    }
    // Two for each request, two more for those that are read whole (the first twenty, and about one in 16), and up to
    // two after a heartbeat, to find out whether they pass the filter twice.
    assert!((238..=262).contains(&proxy.costs().host_calls()), "{:?}", proxy.costs().host_calls);
}

#[test]
fn more_than_a_receiver_takes_is_dropped_and_counted() {
    let mut proxy = proxy(2, json!({}));
    proxy.set_cluster(RECEIVER, Some(Reached::NoEndpoint));
    for i in 0..300 {
        let upstream = wasm_harness::Upstream::new(&format!("outbound|80||s{i}.ns"), A).locality(HOME);
        proxy.exchange(i % 2, &Exchange::no_healthy_upstream(&upstream));
    }
    assert_eq!(events(&proxy).len(), 300, "what a cluster lost has room of its own");
    assert_eq!(count(&proxy, "dropped"), Some(44));
    proxy.set_cluster(RECEIVER, Some(Reached::Up));
    let mut told = 0;
    for _ in 0..30 {
        proxy.advance(Duration::from_millis(100));
        for call in proxy.calls() {
            told += serde_json::from_slice::<Value>(&call.body).unwrap().as_array().unwrap().len();
            proxy.answer(call.id, 200, &[], b"");
        }
    }
    assert_eq!(told, 256);
}
