//! Tests of failovers for every cause: hosts that fail again while they are home, that the control plane takes out or
//! calls unhealthy, and zones that share traffic without any cause at all.

use crate::balancer::{Cluster, Host};
use crate::on_harness::{CLUSTER, HOME, NEAR};
use crate::stage::Stage;
use serde_json::{Value, json};

const A: &str = "10.0.1.1:8000";
const B: &str = "10.0.1.2:8000";
const C: &str = "10.0.2.1:8000";
const D: &str = "10.0.2.2:8000";

fn config(window: &str, end_after: &str) -> Value {
    json!({
        "outlierDetection": {
            "consecutive5xxErrors": 3, "interval": "500ms", "baseEjectionTime": "2s", "maxEjectionTime": "2s",
            "maxEjectionPercent": 100,
        },
        "failover": { "window": window, "endAfter": end_after },
        "witness": {},
    })
}

/// Two hosts at home and two in the next zone.
fn hosts() -> Vec<Host> {
    vec![Host::new(A, HOME, 0), Host::new(B, HOME, 0), Host::new(C, NEAR, 1), Host::new(D, NEAR, 1)]
}

fn started() -> String {
    format!("failover_started {HOME} {NEAR}")
}

fn ended() -> String {
    format!("failover_ended {HOME} {NEAR}")
}

#[test]
fn a_failover_in_which_home_fails_again_ends_when_its_traffic_is_back() {
    for (what, window, end_after, at_home, failing_ms) in [
        ("fails twice", 2_000, 2_000, 1, 3_500),
        ("fails four times", 2_000, 2_000, 1, 9_000),
        ("two hosts", 2_000, 2_000, 2, 3_500),
        ("a short window", 1_000, 3_000, 1, 3_500),
    ] {
        let mut hosts = hosts();
        hosts.drain(at_home..2);
        let config = config(&format!("{window}ms"), &format!("{end_after}ms"));
        let mut stage = Stage::new(&config.to_string(), vec![Cluster::new(CLUSTER, hosts, 3, 2_000)]);
        let mut last_away = 0;
        let mut away_before = 0;
        let mut note = |stage: &mut Stage| {
            let away = stage.cluster().hosts.iter().filter(|h| h.priority > 0).map(|h| h.successes).sum();
            if away != away_before {
                (away_before, last_away) = (away, stage.now());
            }
        };
        stage.run_with(2_000, 100, &mut note);
        stage.cluster().hosts[..at_home].iter_mut().for_each(|host| host.answers = vec![503]);
        stage.run_with(failing_ms, 100, &mut note);
        stage.cluster().hosts[..at_home].iter_mut().for_each(|host| host.answers = vec![200]);
        stage.run_with(14_000, 100, &mut note);
        assert_eq!(stage.told(&["failover_"]), [started(), ended()], "{what}:\n{}", stage.all());
        let ended = stage.when("failover_ended")[0].0;
        // The window's share falls under 0.05 a little before the last request away leaves the window.
        let earliest = last_away + window * 9 / 10 + end_after;
        assert!((earliest - 100..earliest + 600).contains(&ended), "{what}: {ended} ms, last away at {last_away} ms");
    }
}

#[test]
fn a_home_that_the_control_plane_calls_unhealthy_fails_over() {
    for (what, status, max_interval) in [
        ("learned late", "UNHEALTHY", "6s"),
        ("with the defaults", "UNHEALTHY", "30s"),
        ("draining", "DRAINING", "6s"),
        ("timed out", "TIMEOUT", "6s"),
    ] {
        let mut config = config("2s", "2s");
        config["witness"]["maxInterval"] = json!(max_interval);
        let mut stage = Stage::new(&config.to_string(), vec![Cluster::new(CLUSTER, hosts(), 3, 2_000)]);
        // Right after a question that `maxInterval` makes due.
        stage.run(7_000, 60);
        let began = stage.now();
        stage.cluster().hosts[..2].iter_mut().for_each(|host| host.eds = status);
        stage.run(20_000, 60);
        let over = stage.now();
        stage.cluster().hosts[..2].iter_mut().for_each(|host| host.eds = "HEALTHY");
        stage.run(10_000, 60);
        assert_eq!(stage.told(&["failover_"]), [started(), ended()], "{what}:\n{}", stage.all());
        let (at, line) = stage.when("failover_started").remove(0);
        assert!(at - began < 2_500, "{what}: told after {} ms", at - began);
        assert_eq!((&line["cause"], &line["share"]), (&json!("unhealthy"), &json!(1.0)), "{what}: {line}");
        assert_eq!((&line["healthy_at_home"], &line["endpoints_at_home"]), (&json!(0), &json!(2)), "{what}: {line}");
        let (at, line) = stage.when("failover_ended").remove(0);
        assert!((3_500..6_500).contains(&(at - over)), "{what}: over after {} ms", at - over);
        assert_eq!(line["because"], "recovered", "{what}: {line}");
    }
}

#[test]
fn a_home_whose_endpoints_leave_fails_over() {
    for (what, leaving, seconds) in
        [("all leave", 2, 6), ("all leave for a minute", 2, 60), ("one of two leaves", 1, 6), ("none leaves", 0, 6)]
    {
        let mut stage = Stage::new(&config("2s", "2s").to_string(), vec![Cluster::new(CLUSTER, hosts(), 3, 2_000)]);
        stage.run(3_000, 80);
        let gone: Vec<Host> = stage.cluster().hosts.drain(..leaving).collect();
        if leaving == 2 {
            // The control plane numbers what is left from 0.
            stage.cluster().hosts.iter_mut().for_each(|host| host.priority = 0);
        }
        stage.run(seconds * 1_000, 80);
        stage.cluster().hosts.splice(..0, gone.iter().map(Host::renewed));
        stage.cluster().hosts.iter_mut().filter(|host| host.locality == NEAR).for_each(|host| host.priority = 1);
        stage.run(8_000, 80);
        let expected = if leaving == 2 { vec![started(), ended()] } else { Vec::new() };
        assert_eq!(stage.told(&["failover_"]), expected, "{what}:\n{}", stage.all());
        for (_, line) in stage.when("failover_started") {
            let numbers = (&line["cause"], &line["healthy_at_home"], &line["share"]);
            assert_eq!(numbers, (&json!("endpoints_left"), &json!(0), &json!(1.0)), "{what}: {line}");
        }
        for (_, line) in stage.when("failover_ended") {
            assert_eq!(line["because"], "recovered", "{what}: {line}");
        }
    }
}

#[test]
fn a_home_that_stays_without_endpoints_is_after_an_hour_no_failover_any_more() {
    let mut stage = Stage::new(&config("2s", "2s").to_string(), vec![Cluster::new(CLUSTER, hosts(), 3, 2_000)]);
    stage.run(3_000, 20);
    stage.cluster().hosts.drain(..2);
    stage.cluster().hosts.iter_mut().for_each(|host| host.priority = 0);
    stage.run(3_700_000, 2);
    assert_eq!(stage.told(&["failover_"]), [started(), ended()], "{}", stage.all());
    let (_, line) = stage.when("failover_ended").remove(0);
    assert_eq!(line["because"], "topology", "{line}");
    assert!((3_500.0..3_700.0).contains(&line["seconds"].as_f64().unwrap()), "{line}");
}

#[test]
fn zones_that_share_traffic_alike_are_in_no_failover() {
    for (seed, answers, zones) in [
        (3, &[503, 200, 200, 503, 503, 200, 200, 200, 503][..], 2),
        (5, &[503, 503, 503, 200, 200], 2),
        (7, &[503, 200], 3),
        (11, &[503, 200, 200, 200, 200, 200, 200, 200, 200, 200], 2),
    ] {
        let places = [HOME, NEAR, "cn-hangzhou/cn-hangzhou-h"];
        let host = |n: usize| Host::new(&format!("10.0.{}.{n}:8000", n % zones), places[n % zones], 0);
        let mut cluster = Cluster::new(CLUSTER, (0..3 * zones).map(host).collect(), 5, 2_000);
        cluster.random = Some(seed);
        cluster.hosts[0].answers = answers.to_vec();
        let mut config = config("10s", "10s");
        config["outlierDetection"]["consecutive5xxErrors"] = json!(5);
        let mut stage = Stage::new(&config.to_string(), vec![cluster]);
        stage.run(70_000, 15);
        assert_eq!(stage.record(), Vec::<String>::new(), "nothing is ejected");
        assert_eq!(stage.told(&["failover_"]), Vec::<String>::new(), "seed {seed}:\n{}", stage.all());
    }
}
