//! Tests that `faultline report` and `watch` claim no more than the logs tell.

use serde_json::{Value, json};

use crate::support::run_with_input;

const B: &str = "outbound|8000||mockb.default.svc.cluster.local";
const HOME: &str = "r/a";
const NEXT: &str = "r/b";

/// An event at a time of day.
fn event(at: &str, name: &str, more: Value) -> Value {
    let mut event =
        json!({"faultline": name, "v": 1, "ts": format!("2026-11-20T{at}Z"), "cluster": B, "basis": "witnessed"});
    let more = more.as_object().unwrap().clone();
    event.as_object_mut().unwrap().extend(more);
    event
}

fn ejected(at: &str, endpoint: &str, ejection: u32) -> Value {
    event(
        at,
        "endpoint_ejected",
        json!({"endpoint": endpoint, "locality": HOME, "reason": "consecutive_5xx", "ejection": ejection,
            "ejected_endpoints": 1, "endpoints": 4}),
    )
}

fn returned(at: &str, endpoint: &str, seconds: f64) -> Value {
    event(
        at,
        "endpoint_returned",
        json!({"endpoint": endpoint, "locality": HOME, "ejected_seconds": seconds, "ejection": 1}),
    )
}

fn started(at: &str, share: f64, healthy: u32) -> Value {
    event(
        at,
        "failover_started",
        json!({"from": HOME, "to": NEXT, "tier": "same_region", "share": share, "cause": "ejected",
            "healthy_at_home": healthy, "endpoints_at_home": 2}),
    )
}

fn ended(at: &str, seconds: f64) -> Value {
    event(
        at,
        "failover_ended",
        json!({"from": HOME, "to": NEXT, "seconds": seconds, "requests_away": 90, "errors_away": 0,
            "because": "recovered"}),
    )
}

fn log(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// What a report on this log says: as JSON, as text, and on its page.
fn told(log: &str) -> (Value, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| run_with_input(dir.path(), &[&["report"], args].concat(), log.as_bytes()).exits(0);
    let told = run(&["--html", "page.html", "--output", "json"]).json();
    let text = run(&["--details"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    (told, text, std::fs::read_to_string(dir.path().join("page.html")).unwrap())
}

#[test]
fn a_share_that_may_have_shrunk_is_the_most_that_is_known_of() {
    let all_out = [ejected("15:00:00.000", "10.0.0.1:80", 1), ejected("15:00:01.000", "10.0.0.2:80", 1)];
    let with = |more: &[Value]| told(&log(&[&all_out[..], more].concat()));
    let leg = |told: &Value| told["services"][0]["failovers"][0]["legs"][0].clone();

    // Both are out until half a second before the last request away: it was all of the traffic, all the time.
    let back = |at: &str| [returned(at, "10.0.0.1:80", 29.5), returned(at, "10.0.0.2:80", 28.5)];
    let [one, other] = back("15:00:30.500");
    let (told, text, page) = with(&[started("15:00:01.000", 1.0, 0), one, other, ended("15:00:40.000", 30.0)]);
    assert_eq!((&leg(&told)["share"], &leg(&told)["isPeak"]), (&1.0.into(), &false.into()));
    let headline = "; 100 % of its traffic went to b for 30.0 s; 0 errors away from home.";
    assert!(told["headline"].as_str().unwrap().ends_with(headline), "{told}");
    assert!(!text.contains("up to") && !page.contains("up to"), "{text}");

    // One comes back in the middle; and the same where the log does not tell who was out.
    let [one, other] = back("15:00:15.000");
    let middle = with(&[started("15:00:01.000", 1.0, 0), one, other, ended("15:00:40.000", 30.0)]);
    let unknown = self::told(&log(&[started("15:00:01.000", 1.0, 0), ended("15:00:40.000", 30.0)]));
    let part = with(&[started("15:00:01.000", 0.5, 1), ended("15:00:40.000", 30.0)]);
    for ((told, text, page), share) in [(middle, 100), (unknown, 100), (part, 50)] {
        assert_eq!(leg(&told)["isPeak"], true);
        let words = format!("up to {share} %");
        let headline = told["headline"].as_str().unwrap();
        assert!(headline.contains(&format!("{words} of its traffic went to b for 30.0 s")), "{headline}");
        assert!(text.contains(&format!("left a to b ({words}, same region) for 30.0 s")), "{text}");
        assert!(page.contains(&format!("b ({words})")) && page.contains(&format!("{words} → b")), "{page}");
    }
}

#[test]
fn traffic_that_went_nowhere_did_not_go_away() {
    let nothing = event("15:00:11.000", "no_healthy_upstream", json!({"endpoints": 4}));
    let again = event("15:00:21.000", "upstream_recovered", json!({"seconds": 10.0}));
    let (told, text, _) = told(&log(&[
        ejected("15:00:00.000", "10.0.0.1:80", 1),
        ejected("15:00:01.000", "10.0.0.2:80", 1),
        started("15:00:01.000", 1.0, 0),
        nothing,
        again,
        ended("15:00:40.000", 30.0),
    ]));
    let headline = told["headline"].as_str().unwrap();
    assert!(
        headline.contains(
            "up to 100 % of its traffic went to b for 30.0 s; 0 errors away from home; for 10.0 s of that time no \
             endpoint was healthy: requests then failed and are not counted"
        ),
        "{headline}"
    );
    assert!(text.contains("answered again after 10.0 s; until then callers got 503 at once"), "{text}");
}

/// A streak of an endpoint at home, and whether Envoy ejects for it.
fn streak(at: &str, endpoint: &str, ejects: bool) -> Value {
    event(
        at,
        "error_streak",
        json!({"endpoint": endpoint, "locality": HOME, "kind": "5xx", "streak": 5, "threshold": 5, "ejects": ejects,
            "last": {"code": 503}}),
    )
}

fn blocked(at: &str, endpoint: &str) -> Value {
    event(
        at,
        "ejection_blocked",
        json!({"endpoint": endpoint, "locality": HOME, "reason": "max_ejection_percent", "max_ejection_percent": 10,
            "endpoints": 3}),
    )
}

#[test]
fn what_has_no_end_in_the_logs_is_not_over() {
    let no_end = "no end is told of 1 failing endpoint (last told at 15:00:09): streaks without ejection have none";
    let kept = streak("15:00:09.000", "10.0.0.1:80", false);
    let capped = [streak("15:00:08.900", "10.0.0.1:80", true), blocked("15:00:09.000", "10.0.0.1:80")];
    for log in [log(std::slice::from_ref(&kept)), log(&capped)] {
        let (json, text, page) = told(&log);
        assert!(text.contains(&format!("; seen by 1 proxy; {no_end}")), "{text}");
        let headline = json["headline"].as_str().unwrap();
        assert!(headline.ends_with("; these logs tell no end of it."), "{headline}");
        assert!(page.contains("1 failing endpoint of which no end is told"), "{page}");
    }
    // An endpoint that is ejected and returns fails no more, nor does one whose last requests fail while it is out.
    let out = ejected("15:00:09.001", "10.0.0.1:80", 1);
    let late = streak("15:00:09.500", "10.0.0.1:80", true);
    let ends = [out, late, returned("15:00:19.000", "10.0.0.1:80", 10.0)];
    let text = told(&log(&[&[kept][..], &ends].concat())).1;
    assert!(text.contains("; seen by 1 proxy; over"), "{text}");
    // What is open is said beside it.
    let both = log(&[ejected("15:00:01.000", "10.0.0.2:80", 1), streak("15:00:09.000", "10.0.0.1:80", false)]);
    let text = told(&both).1;
    assert!(text.contains("still open: 1 ejected endpoint, 1 failing endpoint of which no end is told"), "{text}");
}

#[test]
fn a_cap_that_keeps_a_failing_endpoint_in_rotation_is_to_be_raised() {
    let (json, text, _) =
        told(&log(&[streak("15:00:08.900", "10.0.0.1:80", true), blocked("15:00:09.000", "10.0.0.1:80")]));
    let advice = "; Envoy may eject no more: raise maxEjectionPercent, 10 % of 3 endpoints is in force";
    assert!(json["lookFirst"][0]["advice"].as_str().unwrap().ends_with(advice), "{json}");
    assert!(text.contains(advice), "{text}");
}

#[test]
fn traffic_that_went_away_in_a_part_of_the_time_is_not_told_as_all_of_it() {
    let ended = |seconds: f64| {
        let mut ended = ended("15:00:40.000", 30.0);
        ended["destinations"] = json!([{"to": NEXT, "seconds": seconds, "requests": 90, "errors": 0}]);
        ended
    };
    let with = |seconds: f64| told(&log(&[started("15:00:01.000", 0.5, 1), ended(seconds)]));
    let (json, text, _) = with(11.75);
    let headline = json["headline"].as_str().unwrap();
    assert!(headline.contains("of its traffic went to b for 11.8 s within 30.0 s"), "{headline}");
    assert!(text.contains("left a to b (up to 50 %, same region) for 11.8 s within 30.0 s"), "{text}");
    // Of a log that ends with the beginning, nobody knows how long it lasted.
    let headline = told(&log(&[started("15:00:01.000", 1.0, 0)])).0["headline"].as_str().unwrap().to_owned();
    assert!(
        !headline.contains("0 ms") && headline.contains("went to b at the end of the log; it was not over"),
        "{headline}"
    );
    // Between the first request of a stay and the start there is a moment.
    assert!(!with(29.0).1.contains("within"));
}

#[test]
fn a_service_that_nothing_healthy_was_left_of_is_in_the_headline_wherever_trouble_began() {
    let of = |mut event: Value, service: &str| {
        event["cluster"] = format!("outbound|80||{service}.shop.svc.cluster.local").into();
        event
    };
    let nothing = |at: &str| event(at, "no_healthy_upstream", json!({"endpoints": 3}));
    let again = |at: &str, seconds: f64| event(at, "upstream_recovered", json!({"seconds": seconds}));
    let first = [ejected("15:00:00.000", "10.0.0.1:80", 1), returned("15:00:30.000", "10.0.0.1:80", 30.0)];
    let cart = [of(nothing("15:00:10.000"), "cart"), of(again("15:02:13.000", 123.0), "cart")];
    let (json, text, _) = told(&log(&[&first[..], &cart].concat()));
    let headline = json["headline"].as_str().unwrap();
    let sentence = "cart.shop had no healthy endpoint for 2 min 3 s from 15:00:10. ";
    assert!(headline.starts_with(&format!("{sentence}mockb.default in a failed at 15:00:00")), "{headline}");
    assert!(!headline.contains("had trouble too"), "{headline}");
    // The table has it.
    assert!(text.contains("none healthy failovers longest"), "{text}");
    assert!(text.contains("cart.shop 2 min 3 s 0 -") && text.contains("mockb.default - 0 -"), "{text}");
    // The first service's own comes first; what is not over is said to be so.
    let own = [nothing("15:00:01.000"), again("15:00:11.000", 10.0)];
    let (json, _, _) = told(&log(&[&first[..], &own, &cart[..1]].concat()));
    let headline = json["headline"].as_str().unwrap();
    assert!(
        headline.starts_with("mockb.default in a failed") && headline.contains("for 10.0 s no endpoint was healthy")
    );
    assert!(headline.contains(". cart.shop had no healthy endpoint for 20.0 s from 15:00:10, not over."), "{headline}");
}
