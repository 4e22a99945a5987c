//! Plays the same scenarios to the native core and to the wasm module on the harness: both must report the same events.
//!
//! The core gets observations. The module gets exchanges as Envoy would show them, distributed over two workers in
//! turn, and must make the same observations itself, each event once. All time is virtual.

use crate::on_harness::{CLUSTER, FAR, HOME, NEAR, endpoint, events, module, proxy};
use filter_core::cluster::{self, AttemptObservation, ClusterState, EvaluationContext};
use filter_core::config::{Config, parse};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::endpoint::rule::Rule;
use filter_core::event::{Event, LastAttempt};
use filter_core::failover::Count;
use filter_core::locality::Locality;
use serde_json::json;
use std::time::Duration;
use wasm_harness::{Exchange, Harness, Outcome};

/// The rules of scenario S1, with times that suit virtual clocks.
const S1: &str = r#"{"outlierDetection": {"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1,
    "consecutive5xxErrors": 1, "interval": "1s", "baseEjectionTime": "5s", "maxEjectionPercent": 100},
    "failover": {"window": "2s", "endAfter": "2s"}}"#;

/// A step of a scenario.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ok(&'static str, &'static str),
    Status(&'static str, &'static str, u16),
    Refused(&'static str, &'static str),
    /// The connection is closed before there is an answer.
    Closed(&'static str, &'static str),
    /// The answer breaks off after its headers.
    BrokenOff(&'static str, &'static str),
    NoHealthyUpstream,
    Overflow,
    ClientLeft(&'static str, &'static str),
    Wait(u64),
}
use Step::*;

fn on_core(config: &str, steps: &[Step]) -> Vec<String> {
    let config: Config = parse(config.as_bytes()).expect("configuration").config;
    let home = Locality::parse(HOME);
    let rule = Rule::configured(&config.outlier_detection);
    let mut state = ClusterState::default();
    let mut now = 1_800_000_000_000;
    let mut events: Vec<Event> = Vec::new();
    for step in steps {
        let context = EvaluationContext {
            cluster: CLUSTER,
            outlier: &config.outlier_detection,
            rule: &rule,
            failover: &config.failover,
            home: &home,
            proxy_home: &home,
            now,
            has_witness: false,
            sees_successes: true,
        };
        let (endpoint, locality, input) = match *step {
            Ok(e, l) => (e, l, DetectorInput::answered(200)),
            Status(e, l, status) => (e, l, DetectorInput::answered(status)),
            Refused(e, l) => (e, l, DetectorInput { connected: false, status: None, failure: Some(503) }),
            Closed(e, l) => (e, l, DetectorInput { connected: true, status: None, failure: Some(503) }),
            BrokenOff(e, l) => (e, l, DetectorInput { connected: true, status: Some(200), failure: Some(503) }),
            NoHealthyUpstream => {
                events.extend(cluster::on_no_healthy_upstream(&mut state, Some(4), &context));
                continue;
            }
            Overflow | ClientLeft(..) => continue,
            Wait(millis) => {
                for _ in 0..millis / 100 {
                    now += 100;
                    events.extend(cluster::on_tick(&mut state, &EvaluationContext { now, ..context }));
                }
                continue;
            }
        };
        let locality = Locality::parse(locality);
        let (workload, started, total) = (None, Some(now), Some(4));
        let (last, times) = (LastAttempt::default(), AttemptTimes::at_once(now * 1_000));
        let seen = AttemptObservation { endpoint, locality: &locality, workload, input, times, started, last, total };
        events.extend(cluster::on_attempt(&mut state, &seen, &context));
        let errors = u32::from(input.outcome().is_error());
        cluster::add_traffic(&mut state, &[(locality.clone(), Count { attempts: 1, errors })], now, &context);
    }
    events.iter().filter_map(|event| crate::on_harness::told(&event.to_json())).collect()
}

fn exchange(step: Step) -> Exchange {
    let at = endpoint;
    match step {
        Ok(e, l) => Exchange::ok(&at(e, l)),
        Status(e, l, status) => Exchange::status(&at(e, l), status),
        Refused(e, l) => Exchange::connect_refused(&at(e, l)),
        Closed(e, l) => Exchange::closed_before_headers(&at(e, l)),
        BrokenOff(e, l) => Exchange::reset_after_headers(&at(e, l), 200),
        NoHealthyUpstream => Exchange::no_healthy_upstream(&at("10.0.0.1:1", HOME)),
        Overflow => Exchange::overflow(&at("10.0.0.1:1", HOME)),
        ClientLeft(e, l) => Exchange::client_cancel(&at(e, l)),
        Wait(_) => Exchange::no_route(),
    }
}

fn on_module(workers: usize, config: &str, steps: &[Step]) -> Vec<String> {
    let mut proxy = proxy(workers, config);
    for (i, step) in steps.iter().enumerate() {
        if let Wait(millis) = step {
            proxy.advance(Duration::from_millis(*millis));
            continue;
        }
        // A local reply of Envoy is not the filter's fault; a dead VM would be.
        assert_ne!(proxy.exchange(i % workers, &exchange(*step)), Outcome::VmFailed, "{step:?}");
    }
    crate::on_harness::events(&proxy)
}

/// Plays the scenario in every set-up and compares the events.
fn story(config: &str, steps: &[Step], expected: &[&str]) {
    assert_eq!(on_core(config, steps), expected, "the native core");
    for workers in [1, 2, 4] {
        assert_eq!(on_module(workers, config, steps), expected, "the module, {workers} workers");
    }
}

const A: &str = "10.0.1.1:8000";
const B: &str = "10.0.2.1:8000";
const C: &str = "10.0.3.1:8000";

#[test]
fn the_drill_of_s1() {
    let mut steps = vec![Ok(A, HOME), Ok(A, HOME), Refused(A, HOME), Ok(B, NEAR)];
    for _ in 0..10 {
        steps.extend([Wait(500), Ok(B, NEAR)]);
    }
    steps.push(Wait(300));
    for _ in 0..12 {
        steps.extend([Ok(A, HOME), Wait(500)]);
    }
    story(
        S1,
        &steps,
        &[
            "error_streak 10.0.1.1:8000",
            "endpoint_ejected 10.0.1.1:8000",
            "failover_started ap-northeast-1/ap-northeast-1a ap-northeast-1/ap-northeast-1b",
            "endpoint_returned 10.0.1.1:8000",
            "failover_ended ap-northeast-1/ap-northeast-1a ap-northeast-1/ap-northeast-1b",
        ],
    );
}

#[test]
fn a_failover_moves_on_when_the_next_zone_falls_too() {
    let mut steps = vec![Ok(A, HOME), Refused(A, HOME), Ok(B, NEAR), Wait(300), Refused(B, NEAR)];
    for _ in 0..12 {
        steps.extend([Ok(C, FAR), Ok(C, FAR), Wait(300)]);
    }
    story(
        S1,
        &steps,
        &[
            "error_streak 10.0.1.1:8000",
            "endpoint_ejected 10.0.1.1:8000",
            "failover_started ap-northeast-1/ap-northeast-1a ap-northeast-1/ap-northeast-1b",
            "error_streak 10.0.2.1:8000",
            "endpoint_ejected 10.0.2.1:8000",
            "failover_changed ap-northeast-1/ap-northeast-1a cn-hangzhou/cn-hangzhou-h",
        ],
    );
}

#[test]
fn streaks_are_counted_over_all_workers_and_broken_by_any_success() {
    let config = r#"{"outlierDetection": {"consecutive5xxErrors": 4, "maxEjectionPercent": 100}}"#;
    let error = Status(A, HOME, 500);
    story(config, &[error, error, error, Ok(A, HOME), error, error, error], &[]);
    story(config, &[error, error, error, error], &["error_streak 10.0.1.1:8000", "endpoint_ejected 10.0.1.1:8000"]);
}

#[test]
fn a_connection_that_was_had_resets_the_local_streak_in_split_mode() {
    let config = r#"{"outlierDetection": {"splitExternalLocalOriginErrors": true, "consecutive5xxErrors": 0,
        "consecutiveLocalOriginFailures": 2, "maxEjectionPercent": 100}}"#;
    let (closed, refused) = (Closed(A, HOME), Refused(A, HOME));
    story(config, &[closed, closed, closed, closed], &[]);
    story(config, &[refused, Status(A, HOME, 500), refused], &[]);
    story(config, &[closed, refused], &["error_streak 10.0.1.1:8000", "endpoint_ejected 10.0.1.1:8000"]);
}

#[test]
fn an_answer_that_breaks_off_counts() {
    let config = r#"{"outlierDetection": {"consecutive5xxErrors": 1, "maxEjectionPercent": 100}}"#;
    let ejected = ["error_streak 10.0.1.1:8000", "endpoint_ejected 10.0.1.1:8000"];
    story(config, &[Ok(A, HOME), BrokenOff(A, HOME)], &ejected);
    // While anything is open elsewhere, answers are judged by their headers first.
    let steps = [Status(B, HOME, 500), Ok(A, HOME), BrokenOff(A, HOME)];
    story(config, &steps, &["error_streak 10.0.2.1:8000", "endpoint_ejected 10.0.2.1:8000", ejected[0], ejected[1]]);
}

#[test]
fn what_is_nobodys_fault_counts_for_nobody() {
    let config = r#"{"outlierDetection": {"consecutive5xxErrors": 2, "maxEjectionPercent": 100}}"#;
    let error = Status(A, HOME, 503);
    story(config, &[error, Overflow, ClientLeft(A, HOME), Ok(A, HOME), error, Overflow, ClientLeft(A, HOME)], &[]);
}

#[test]
fn no_healthy_upstream_and_recovery_come_once() {
    let steps =
        [NoHealthyUpstream, NoHealthyUpstream, Ok(A, HOME), Wait(1_000), NoHealthyUpstream, Ok(A, HOME), Ok(A, HOME)];
    story(S1, &steps, &["no_healthy_upstream", "upstream_recovered"]);
}

#[test]
fn health_is_silent_and_counted() {
    let mut proxy = proxy(2, S1);
    for i in 0..100 {
        proxy.exchange(i % 2, &exchange(Ok(A, HOME)));
    }
    proxy.exchange(0, &exchange(Ok(B, NEAR)).attempts(2));
    proxy.advance(Duration::from_secs(2));
    assert!(crate::on_harness::events(&proxy).is_empty());
    let text = proxy.prometheus(&["upstream_cluster", "upstream_locality", "outcome"]);
    let attempts = |locality: &str, n: u32| {
        format!(
            "faultline_attempts_total{{upstream_cluster=\"{CLUSTER}\",upstream_locality=\"{locality}\",\
             outcome=\"success\"}} {n}"
        )
    };
    assert!(text.contains(&attempts(HOME, 100)), "{text}");
    assert!(text.contains(&attempts(NEAR, 1)), "{text}");
    assert!(text.contains(&format!("faultline_retried_requests_total{{upstream_cluster=\"{CLUSTER}\"}} 1")), "{text}");
    assert!(text.contains("faultline_tracked_endpoints{} 2"), "{text}");
    assert!(text.contains("faultline_open_findings{} 0"), "{text}");
}

#[test]
fn a_healthy_request_takes_two_host_calls_and_two_more_if_it_is_read_whole() {
    let mut proxy = proxy(1, S1);
    for _ in 0..10 {
        proxy.exchange(0, &exchange(Ok(A, HOME)));
    }
    proxy.reset_costs();
    for _ in 0..100 {
        proxy.exchange(0, &exchange(Ok(A, HOME)));
    }
    let costs = proxy.costs();
    // Ten more of the first twenty are read whole, and of the other ninety about one in 16.
    let whole = (costs.host_calls() - 200) / 2;
    assert!((12..=20).contains(&whole), "{:?}", costs.host_calls);
}

#[test]
fn what_happened_under_the_old_configuration_or_module_is_neither_lost_nor_repeated() {
    let mut proxy = proxy(2, S1);
    let ejected = ["error_streak 10.0.1.1:8000", "endpoint_ejected 10.0.1.1:8000"];
    proxy.exchange(0, &exchange(Refused(A, HOME)));
    proxy.reload(module()).expect("reloads");
    proxy.advance(Duration::from_millis(200));
    proxy.exchange(1, &exchange(Refused(A, HOME)));
    assert_eq!(events(&proxy), ejected);
    proxy.exchange(0, &exchange(Ok(B, NEAR)));
    proxy.advance(Duration::from_secs(6));
    assert_eq!(events(&proxy).len(), 4, "{:?}", events(&proxy));
    assert_eq!(events(&proxy)[3], "endpoint_returned 10.0.1.1:8000");
}

#[test]
fn compact_leaves_out_the_streaks_of_ejections_and_counts_them() {
    let told = |events: &str| {
        let rule = json!({ "consecutive5xxErrors": 1, "maxEjectionPercent": 50 });
        let config = json!({ "outlierDetection": rule, "events": events }).to_string();
        let mut proxy = proxy(2, &config);
        for address in ["10.0.1.1:8000", "10.0.1.2:8000", "10.0.1.3:8000"] {
            proxy.exchange(0, &Exchange::status(&endpoint(address, HOME), 500));
        }
        proxy.advance(Duration::from_secs(2));
        let told = |name: &str| events_of(&proxy, name);
        (told("error_streak"), told("endpoint_ejected"), streaks(&proxy))
    };
    // The cap lets Envoy eject two of the four.
    let (all, compact) = (told("all"), told("compact"));
    assert_eq!((all.0.len(), all.1.len(), all.2), (3, 2, Some(3)));
    assert_eq!(compact.0, ["error_streak 10.0.1.3:8000"], "the one that ejects nothing");
    assert_eq!((&compact.1, compact.2), (&all.1, all.2), "ejections and metrics are the same");
}

fn events_of(proxy: &Harness, name: &str) -> Vec<String> {
    events(proxy).into_iter().filter(|event| event.starts_with(name)).collect()
}

fn streaks(proxy: &Harness) -> Option<u64> {
    let labels = format!("upstream_cluster=.={CLUSTER};.;upstream_locality=.={HOME};.;streak_kind=.=5xx;.;");
    proxy.counter(&format!("{labels}faultline_error_streaks_total"))
}
