//! Loki, by a stub of its documented API: pages, limits, tenants, and answers with a warning.

use std::path::Path;

use serde_json::{Value, json};

use crate::fleet::{self, Line, RANGE};
use crate::stub::{Asked, Stub};
use crate::support::run;

/// Answers as the documentation says, with at most `most` entries on a page.
fn stub(lines: Vec<Line>, most: usize) -> Stub {
    Stub::answering(move |asked| {
        if asked.target.starts_with("GET /loki/api/v1/query?") {
            let result = json!([{"metric": {}, "value": [0.0, lines.len().to_string()]}]);
            return (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string());
        }
        page(&lines, most, asked)
    })
}

fn page(lines: &[Line], most: usize, asked: &Asked) -> (u16, String) {
    let number = |name: &str| asked.parameter(name).parse::<u64>().expect("it is a number");
    let (start, end, limit) = (number("start"), number("end"), number("limit") as usize);
    if limit > most {
        let why =
            format!("max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {most})");
        return (400, why);
    }
    let within = lines.iter().filter(|line| (start..end).contains(&(line.at * 1_000_000)));
    let stream = |line: &Line| {
        // Structured metadata stands among the labels, unless the client asks for it apart.
        let labels = json!({"cluster": line.kubernetes_cluster, "namespace": "shop", "container": "istio-proxy",
            "pod": line.pod});
        json!({"stream": labels, "values": [[(line.at * 1_000_000).to_string(), line.text()]]})
    };
    let result: Vec<Value> = within.take(limit).map(stream).collect();
    (200, json!({"status": "success", "data": {"resultType": "streams", "result": result}}).to_string())
}

fn report(stub: &Stub, more: &[&str]) -> crate::support::Ran {
    let logs = format!("loki+http://{}", stub.host);
    run(Path::new("."), &[&["report", "--logs", &logs, "--output", "json"][..], &RANGE, more].concat())
}

#[test]
fn pages_are_read_to_the_end_and_nothing_twice() {
    let stub = stub(fleet::lines(40), 100);
    let ran = report(&stub, &["--tenant", "a|b", "--query", r#"{app="x"}"#]).exits(0);
    assert!(!ran.stderr.contains("came again"), "{}", ran.stderr);
    let told = ran.json();
    assert_eq!((&told["proxyCount"], &told["events"]), (&40.into(), &(40 * 8 - 1).into()));
    let asked = stub.asked();
    assert!(asked.iter().all(|asked| asked.header("x-scope-orgid") == "a|b"));
    assert!(asked.iter().all(|asked| asked.parameter("query").contains(r#"{app="x"} |~"#)), "{asked:?}");
    // The server said how much it allows, and was asked for that from then on.
    let limits: Vec<String> =
        asked.iter().map(|asked| asked.parameter("limit")).filter(|limit| !limit.is_empty()).collect();
    assert_eq!((limits[0].as_str(), limits[1].as_str()), ("5000", "100"));
    assert!(limits.len() >= 5, "{limits:?}");
}

#[test]
fn a_page_of_one_time_has_no_next_and_is_refused() {
    let mut lines = fleet::lines(40);
    lines.iter_mut().for_each(|line| line.at = fleet::BEGIN);
    report(&stub(lines, 100), &[]).fails_with(&["more than 100 entries have the time", "narrow --query"]);
}

#[test]
fn an_answer_with_a_warning_is_refused() {
    let stub = Stub::answering(|_| {
        (200, json!({"status": "success", "warnings": ["a part is missing"], "data": {"result": []}}).to_string())
    });
    report(&stub, &[]).fails_with(&["warns of its answer, so nothing is told: a part is missing"]);
}

#[test]
fn of_too_many_events_no_part_is_told() {
    let words = ["there are 319 events", "--most 319", "500 series", "cannot count proxies"];
    report(&stub(fleet::lines(40), 100), &["--most", "100"]).fails_with(&words);
}

#[test]
fn what_began_in_the_hour_before_is_told_as_already_going_on() {
    let stub = stub(fleet::lines(40), 5000);
    let logs = format!("loki+http://{}", stub.host);
    let within = ["--since", "2026-11-20T12:02:00Z", "--until", "2026-11-20T12:30:00Z"];
    let ran = run(Path::new("."), &[&["report", "--logs", &logs][..], &within].concat()).exits(0);
    let told = ran.stdout;
    assert!(told.contains("Already going on when the window begins"), "{told}");
    assert!(told.contains("since 12:00:00"), "{told}");
}

/// How many records a question counts: `asked` in the 35 minutes of [`RANGE`], `longer` in any other time.
fn counting(lines: Vec<Line>, asked_has: usize, longer: Result<usize, &'static str>) -> Stub {
    Stub::answering(move |asked| {
        if !asked.target.starts_with("GET /loki/api/v1/query?") {
            return page(&lines, 5000, asked);
        }
        let is_longer = !asked.parameter("query").contains("[2100000ms]");
        let counted = match longer {
            Err(refusal) if is_longer => return (400, refusal.to_owned()),
            Ok(of_longer) if is_longer => of_longer,
            _ => asked_has,
        };
        let result = json!([{"metric": {}, "value": [0.0, counted.to_string()]}]);
        (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
    })
}

#[test]
fn an_engine_that_refuses_the_hour_before_or_has_too_much_of_it_is_asked_without() {
    for (longer, why) in [(Err("the time range exceeds the limit"), "exceeds the limit"), (Ok(400), "are 400 events")] {
        let stub = counting(fleet::lines(40), 319, longer);
        let ran = report(&stub, &["--most", "350"]).exits(0);
        assert!(ran.stderr.contains("the hour before was not read"), "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        let told = ran.json();
        assert_eq!((&told["proxyCount"], &told["logEnds"]), (&40.into(), &"2026-11-20T12:30:00.000Z".into()));
    }
}

#[test]
fn what_was_read_of_the_hour_before_is_no_event_of_the_time_that_was_asked_for() {
    // All but what the last proxy's failover left open is over by then.
    let lines = || fleet::lines(40).into_iter().filter(|line| line.pod != "front-19").collect();
    let stub = stub(lines(), 5000);
    let logs = format!("loki+http://{}", stub.host);
    let within = ["--since", "2026-11-20T12:10:00Z", "--until", "2026-11-20T12:30:00Z"];
    let told = run(Path::new("."), &[&["report", "--logs", &logs][..], &within].concat()).exits(0).stdout;
    assert!(told.contains("no faultline events from 2026-11-20T12:10:00.000Z to 2026-11-20T12:30:00.000Z"), "{told}");
    assert!(told.contains("nothing that went on then; 304 events in what was read"), "{told}");
}

#[test]
fn nothing_is_asked_of_what_is_to_come() {
    let stub = stub(fleet::lines(1), 5000);
    let logs = format!("loki+http://{}", stub.host);
    let within = ["--since", "2026-11-20T11:55:00Z", "--until", "2226-01-01T00:00:00Z"];
    run(Path::new("."), &[&["report", "--logs", &logs][..], &within].concat()).exits(0);
    let ends: Vec<String> =
        stub.asked().iter().map(|asked| asked.parameter("end")).filter(|end| !end.is_empty()).collect();
    // In nanoseconds; the first of January 2226.
    assert!(
        !ends.is_empty() && ends.iter().all(|end| end.parse::<u64>().unwrap() < 8_078_659_200_000_000_000),
        "{ends:?}"
    );
}
