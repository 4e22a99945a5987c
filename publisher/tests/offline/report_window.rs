//! Tests of a report on a window (`--since`, `--until`): what was going on when it begins is told.

use serde_json::{Value, json};

use crate::support::run_with_input;

const B: &str = "outbound|8000||mockb.default.svc.cluster.local";

fn event(at: &str, name: &str, more: Value) -> Value {
    let mut event = json!({"faultline": name, "v": 1, "ts": format!("2026-11-20T{at}.000Z"), "cluster": B});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// An outage from 15:00:00 to 15:20:00: an endpoint is ejected, traffic leaves, and for a while nothing is healthy.
fn begins() -> Vec<Value> {
    let endpoint = json!({"endpoint": "10.0.0.1:80", "locality": "r/a"});
    let with = |more: Value| {
        let mut all = endpoint.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let streak = with(json!({"kind": "local_origin", "streak": 5, "threshold": 5,
        "last": {"code": 503, "flags": "UF", "transport_failure": "delayed connect error: Connection refused"}}));
    let ejected = with(json!({"reason": "consecutive_5xx", "ejection": 1, "ejected_endpoints": 1, "endpoints": 2}));
    let route = json!({"from": "r/a", "to": "r/b", "tier": "same_region", "share": 1.0, "cause": "ejected",
        "healthy_at_home": 0, "endpoints_at_home": 1});
    vec![
        event("15:00:00", "error_streak", streak),
        event("15:00:00", "endpoint_ejected", ejected),
        event("15:00:01", "failover_started", route),
        event("15:00:02", "no_healthy_upstream", json!({"endpoints": 2})),
    ]
}

fn ends() -> Vec<Value> {
    vec![
        event("15:19:52", "upstream_recovered", json!({"seconds": 1190.0})),
        event(
            "15:20:00",
            "endpoint_returned",
            json!({"endpoint": "10.0.0.1:80", "locality": "r/a", "ejected_seconds": 1200.0, "ejection": 1}),
        ),
        event(
            "15:20:21",
            "failover_ended",
            json!({"from": "r/a", "to": "r/b", "seconds": 1200.0, "requests_away": 90, "errors_away": 3,
                "because": "recovered"}),
        ),
    ]
}

/// The JSON and the text of a report on a window of these events.
fn told(events: &[Value], window: &[&str]) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let log: String = events.iter().map(|event| format!("{event}\n")).collect();
    let run = |args: &[&str]| run_with_input(dir.path(), &[&["report"], args, window].concat(), log.as_bytes());
    let ran = run(&["--output", "json", "--html", "page.html"]).exits(0);
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    let text = run(&["--details"]).exits(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in ran.json()["goingOnBefore"].as_array().into_iter().flatten() {
        let sentence = sentence.as_str().unwrap();
        assert!(page.contains(sentence) && text.contains(sentence), "{sentence} is not in {page} and {text}");
    }
    (ran.json(), text)
}

const WITHIN: [&str; 4] = ["--since", "15:05:00", "--until", "15:10:00"];

#[test]
fn a_window_within_an_outage_tells_it_by_the_lines_before() {
    let (json, text) = told(&[begins(), ends()].concat(), &WITHIN);
    assert_eq!(
        json["goingOnBefore"],
        json!([
            "mockb.default: no healthy endpoint, since 15:00:02.000; not over",
            "mockb.default: traffic of a goes to b, since 15:00:01.000; not over",
            "mockb.default: 10.0.0.1:80 in a is ejected, since 15:00:00.000; not over"
        ])
    );
    assert!(text.contains("Already going on when the window begins, 15:05:00"), "{text}");
    let headline = json["headline"].as_str().unwrap();
    assert!(headline.contains("mockb.default in a failed at 15:00:00 (connection refused)"), "{headline}");
    assert!(headline.contains("no endpoint was healthy"), "{headline}");
    assert!(headline.ends_with("; it was not over when the window ended."), "{headline}");
    // No event is in it, and none from before is listed as one of it.
    assert_eq!((&json["events"], &json["timeline"]), (&0.into(), &json!([])));
    let failover = &json["services"][0]["failovers"][0];
    assert_eq!((&failover["start"], &failover["open"]), (&"2026-11-20T15:00:01.000Z".into(), &true.into()));
    assert_eq!(failover["end"], "2026-11-20T15:10:00.000Z");
    assert_eq!(json["gaps"], json!([]));
}

#[test]
fn a_log_that_begins_within_the_outage_tells_it_by_its_end() {
    let (json, _) = told(&ends(), &WITHIN);
    assert_eq!(
        json["goingOnBefore"],
        json!([
            "mockb.default: no healthy endpoint, since 15:00:02.000 (reckoned from its end); not over",
            "mockb.default: traffic of a goes to b, since 15:00:01.000 (reckoned from its end); not over",
            "mockb.default: 10.0.0.1:80 in a is ejected, since 15:00:00.000 (reckoned from its end); not over"
        ])
    );
    // What its end tells is later than the window.
    let failover = &json["services"][0]["failovers"][0];
    assert_eq!((&failover["requestsAway"], &failover["beganEarlier"]), (&0.into(), &true.into()));
    // An end within the window is told with it.
    let (json, _) = told(&ends(), &["--since", "15:19:55"]);
    assert_eq!(
        json["goingOnBefore"],
        json!([
            "mockb.default: traffic of a goes to b, since 15:00:01.000 (reckoned from its end); until 15:20:01.000, \
             20 min in all",
            "mockb.default: 10.0.0.1:80 in a is ejected, since 15:00:00.000 (reckoned from its end); until \
             15:20:00.000, 20 min in all"
        ])
    );
}

#[test]
fn what_was_over_before_or_began_after_is_not_going_on() {
    let all = [begins(), ends()].concat();
    let later = event("15:30:00", "no_healthy_upstream", json!({"endpoints": 2}));
    for window in [["--since", "15:25:00", "--until", "15:29:00"], ["--since", "14:50:00", "--until", "14:59:00"]] {
        let (json, text) = told(&[all.clone(), vec![later.clone()]].concat(), &window);
        assert_eq!((&json["goingOnBefore"], &json["services"]), (&Value::Null, &json!([])), "{window:?}");
        assert!(text.contains("without them there are 8"), "{text}");
    }
    // Nor what a proxy saw that began anew before the window.
    let started = "[2026-11-20 15:03:00.000][1][info][wasm] [source/x.cc:1] wasm log faultline: faultline: 0.1.0 \
        watches, its configuration is in force";
    let dir = tempfile::tempdir().unwrap();
    let before: String = begins().iter().map(|event| format!("{event}\n")).collect();
    let after = event("15:12:00", "no_healthy_upstream", json!({"endpoints": 2}));
    let log = format!("{before}{started}\n{after}\n");
    let args = [&["report", "--output", "json"][..], &WITHIN].concat();
    let json = run_with_input(dir.path(), &args, log.as_bytes()).exits(0).json();
    assert_eq!(json["services"], json!([]), "{json}");
}
