//! Tests what `faultline report` and `watch` make of lines that are no events: the filter's own warnings, and that a
//! proxy stops and starts again.

use serde_json::{Value, json};

use crate::support::{Ran, run, run_with_input};

/// What the filter writes where it does not know its place.
const NO_HOME: &str = "where this proxy is, nothing tells (node.locality, its labels, priorities of endpoints): \
                       failovers cannot be told";
const NO_WITNESS: &str = "witness: cluster envoy_admin: there is no such cluster, or it has no endpoint; set \
                          witness.cluster to one that has.";
const IN_FORCE: &str = "0.1.0 watches, its configuration is in force";

/// A line of Envoy's.
fn envoy(at: &str, level: &str, of: &str, text: &str) -> String {
    format!("[2026-11-20 {at}][7][{level}][{of}] [source/x.cc:1154] {text}\n")
}

/// A remark of the filter's, as Envoy writes it.
fn remark(at: &str, level: &str, text: &str) -> String {
    envoy(at, level, "wasm", &format!("wasm log faultline: faultline: {text}"))
}

fn event(at: &str, name: &str, more: Value) -> String {
    let mut event = json!({"faultline": name, "v": 1, "ts": format!("2026-11-20T{at}Z"), "cluster": "backend",
        "endpoint": "10.0.0.1:80", "locality": "r/a", "from": "r/a", "to": "r/b"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    envoy(at, "warning", "wasm", &format!("wasm log faultline: {event}"))
}

fn ejected(at: &str, ejection: u32) -> String {
    event(at, "endpoint_ejected", json!({"reason": "consecutive_5xx", "ejection": ejection, "endpoints": 2}))
}

fn returned(at: &str) -> String {
    event(at, "endpoint_returned", json!({"ejected_seconds": 10.0}))
}

fn leaves(at: &str) -> String {
    event(at, "failover_started", json!({"share": 1.0, "healthy_at_home": 0, "endpoints_at_home": 1}))
}

fn comes_home(at: &str) -> String {
    event(at, "failover_ended", json!({"seconds": 10.0, "requests_away": 50, "because": "recovered"}))
}

fn with_input(args: &[&str], log: &str) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), args, log.as_bytes()).exits(0)
}

fn told(log: &str) -> Value {
    with_input(&["report", "--output", "json"], log).json()
}

#[test]
fn what_the_filter_warns_of_is_told_with_the_number_of_proxies() {
    let dir = tempfile::tempdir().unwrap();
    let one = remark("15:00:00.000", "warning", NO_HOME)
        + &remark("15:00:00.100", "warning", NO_WITNESS)
        + &remark(
            "15:00:00.200",
            "warning",
            "cluster backend: interval is configured as 10s and is 5s in Envoy. Envoy's rule counts",
        )
        + &ejected("15:00:01.000", 1)
        + &remark("15:00:02.000", "warning", NO_HOME)
        + &remark("15:00:03.000", "info", "home is r/a (node.locality)");
    // The other one is Istio's, in JSON, and tells of no event.
    let other = json!({"level": "warn", "time": "2026-11-20T15:00:00.000001Z", "scope": "envoy wasm",
        "msg": format!("wasm log shop.x: faultline: {NO_HOME}\tthread=22")});
    std::fs::write(dir.path().join("one.log"), &one).unwrap();
    std::fs::write(dir.path().join("other.log"), format!("{other}\n")).unwrap();
    let report = |args: &[&str]| run(dir.path(), &[&["report", "one.log", "other.log"], args].concat()).exits(0);
    let gaps = report(&["--output", "json"]).json()["gaps"].clone();
    let wanted =
        [format!("The filter at 2 proxies says: {NO_HOME}."), format!("The filter at 1 proxy says: {NO_WITNESS}")];
    assert_eq!(gaps, json!(wanted));
    let text = report(&[]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(wanted.iter().all(|gap| text.contains(gap)), "{text}");

    // Without any event, it is the reason to think of first.
    let ran = run(dir.path(), &["report", "other.log"]).exits(0);
    assert!(ran.stdout.contains(NO_HOME) && !ran.stdout.contains("wasm:warning"), "{ran:?}");
}

#[test]
fn those_who_watch_see_what_the_filter_warns_of_as_it_comes() {
    let log = remark("15:00:00.000", "info", IN_FORCE)
        + &remark("15:00:00.000", "warning", NO_HOME)
        + &ejected("15:00:01.000", 1);
    let ran = with_input(&["watch"], &log);
    assert!(
        ran.stdout.starts_with(&format!("15:00:00.000  filter warns      {NO_HOME}\n15:00:01.000  ejected")),
        "{ran:?}"
    );
    assert!(ran.stderr.starts_with("1 event of 1 proxy"), "{ran:?}");
    let ran = with_input(&["watch", "--output", "json"], &log);
    let first: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first, json!({"faultline_remark": NO_HOME, "ts": "2026-11-20T15:00:00.000Z", "proxy": "stdin"}));
    // A report on what was watched tells the same.
    assert_eq!(told(&ran.stdout)["gaps"], told(&log)["gaps"]);
}

#[test]
fn a_proxy_that_starts_again_ends_what_was_open_at_it() {
    let stop = envoy("15:00:08.000", "warning", "main", "caught ENVOY_SIGTERM");
    let log = |stop: &str| {
        let again = remark("15:00:20.000", "info", IN_FORCE);
        let before = remark("14:59:00.000", "info", IN_FORCE) + &ejected("15:00:00.000", 3) + &leaves("15:00:00.000");
        let after = ejected("15:00:21.000", 1) + &leaves("15:00:21.000");
        before + stop + &again + &after + &returned("15:00:31.000") + &comes_home("15:00:36.000")
    };
    // With what Envoy says at its end, and without.
    for (stop, until, seconds) in
        [(stop.as_str(), "15:00:08.000, when it stopped", 8.0), ("", "then: when it ended is not known", 20.0)]
    {
        let told = told(&log(stop));
        let wanted =
            format!("The proxy stdin started again at 15:00:20.000. What was open at it before counts until {until}.");
        assert_eq!(told["gaps"], json!([wanted]));
        let failovers = told["services"][0]["failovers"].as_array().unwrap();
        assert_eq!((failovers.len(), &failovers[0]["seconds"]), (2, &seconds.into()));
        assert_eq!((&failovers[0]["because"], &failovers[0]["ended"]), (&json!(["proxy_restarted"]), &0.into()));
        assert_eq!(failovers[1]["seconds"], 10.0);
        let headline = told["headline"].as_str().unwrap();
        assert!(headline.contains(", until its proxy restarted: the end was not seen"), "{headline}");
        let names: Vec<&Value> = told["timeline"].as_array().unwrap().iter().map(|moment| &moment["event"]).collect();
        assert_eq!(names[2], "proxy_started", "{names:?}");
        assert_eq!(told["events"], 6);
    }
    // Those who watch learn what was open at the one that ended, and that the next one begins with nothing.
    let half: String = log(&stop).lines().take(4).map(|line| format!("{line}\n")).collect();
    let ran = with_input(&["watch"], &half);
    let open = "open then: away: backend → b (up to 100 %); 1 endpoint ejected";
    assert!(ran.stdout.ends_with(&format!("15:00:08.000  proxy stopped     the proxy ends; {open}\n")), "{ran:?}");
    assert!(ran.stderr.contains("now: open when 1 proxy stopped: away: backend → b"), "{ran:?}");
    let ran = with_input(&["watch"], &(half + &remark("15:00:20.000", "info", IN_FORCE)));
    assert!(ran.stderr.contains("now: all is well"), "{ran:?}");
    let json = with_input(&["watch", "--output", "json"], &log(&stop)).stdout;
    assert_eq!(told(&json)["gaps"], told(&log(&stop))["gaps"]);
}

#[test]
fn a_new_configuration_is_no_new_proxy() {
    let log = ejected("15:00:00.000", 1)
        + &leaves("15:00:00.000")
        + &remark("15:00:05.000", "info", IN_FORCE)
        + &returned("15:00:10.000")
        + &comes_home("15:00:15.000");
    let told = told(&log);
    assert_eq!(told["gaps"], json!([]));
    assert_eq!(told["services"][0]["failovers"][0]["seconds"], 10.0);
    assert!(!told["timeline"].to_string().contains("proxy_started"));
}
