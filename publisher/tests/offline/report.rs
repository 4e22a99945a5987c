//! Tests `faultline report`: logs in all the forms that people have, the report on them, and the HTML page.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};

use crate::support::{self, Ran, run, run_with_input};

/// A real outage: one Envoy and a service in four zones. One zone fails and comes back, then all of them do.
const OUTAGE: &str = include_str!("../logs/zone-outage.log");

/// The logs of three pods by `kubectl logs --prefix`, one after the other. Two saw the outage, 412 ms apart.
const THREE: &str = include_str!("../logs/three-proxies.log");

const B: &str = "outbound|8000||mockb.default.svc.cluster.local";
const HOME: &str = "ap-northeast-1/ap-northeast-1a";
const NEXT: &str = "ap-northeast-1/ap-northeast-1b";

fn report(input: &str, args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &[&["report"], args].concat(), input.as_bytes()).exits(0)
}

/// The report on a log that lacks something.
fn json_of_part(input: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &["report", "--output", "json"], input.as_bytes()).exits(3).json()
}

fn json_of(input: &str) -> Value {
    report(input, &["--output", "json"]).json()
}

/// A log that contains only events.
fn bare(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn ejected(at: &str, endpoint: &str) -> Value {
    json!({"faultline": "endpoint_ejected", "v": 1, "ts": format!("2026-11-20T{at}Z"), "cluster": B,
        "endpoint": endpoint, "locality": HOME, "basis": "witnessed", "reason": "consecutive_5xx", "ejection": 1,
        "ejected_endpoints": 1, "endpoints": 4})
}

fn returned(at: &str, endpoint: &str, seconds: f64) -> Value {
    json!({"faultline": "endpoint_returned", "v": 1, "ts": format!("2026-11-20T{at}Z"), "cluster": B,
        "endpoint": endpoint, "locality": HOME, "basis": "witnessed", "ejected_seconds": seconds, "ejection": 1})
}

#[test]
fn an_outage_is_told_with_its_times_places_and_sums() {
    let told = json_of(OUTAGE);
    assert_eq!(
        told["headline"],
        "mockb.default in ap-northeast-1a failed at 15:43:09 (connection refused); up to 100 % of its traffic went \
         to ap-northeast-1b, then cn-hangzhou-k in 2 failovers for 26.0 s; 359 errors away from home; for 6.8 s of \
         that time no endpoint was healthy: requests then failed and are not counted."
    );
    let service = &told["services"][0];
    assert_eq!((&service["name"], &service["cluster"]), (&"mockb.default".into(), &B.into()));
    let first = &service["failovers"][0];
    assert_eq!((&first["from"], &first["legs"][0]["to"]), (&HOME.into(), &NEXT.into()));
    assert_eq!(
        (&first["seconds"], &first["requestsAway"], &first["errorsAway"]),
        (&12.712.into(), &2313.into(), &0.into())
    );
    assert_eq!((&first["start"], &first["open"]), (&"2026-11-20T15:43:09.575Z".into(), &false.into()));
    assert_eq!(service["failovers"][1]["legs"][1]["to"], "cn-hangzhou/cn-hangzhou-k");
    assert_eq!(service["outages"][0]["seconds"], 6.825);
    let endpoint = service["endpoints"].as_array().unwrap().iter().find(|e| e["address"] == "10.8.1.15:8000").unwrap();
    assert_eq!(endpoint["ejections"].as_array().unwrap().len(), 2);
    assert_eq!(endpoint["ejections"][0]["seconds"], 12.661);
    assert_eq!(told["lookFirst"][0]["endpoint"], "10.8.1.15:8000");
    assert_eq!(told["gaps"], json!([]));
}

#[test]
fn a_streak_that_was_seen_later_is_not_how_it_began() {
    let streak = json!({"faultline": "error_streak", "v": 1, "ts": "2026-11-20T15:00:30.000Z", "cluster": B,
        "endpoint": "10.0.0.1:80", "locality": HOME, "kind": "5xx", "streak": 5, "threshold": 5,
        "last": {"code": 500, "flags": "", "details": "via_upstream"}});
    let mut first = ejected("15:00:00.000", "10.0.0.1:80");
    first["reason"] = "consecutive_local_origin_failure".into();
    let back = [returned("15:00:10.000", "10.0.0.1:80", 10.0), returned("15:00:40.000", "10.0.0.1:80", 10.0)];
    let again = ejected("15:00:30.001", "10.0.0.1:80");
    let told = json_of(&bare(&[first, back[0].clone(), streak, again, back[1].clone()]));
    let headline = told["headline"].as_str().unwrap();
    assert!(headline.contains("failed at 15:00:00 (could not be reached, or did not answer)"), "{headline}");
    assert_eq!(told["lookFirst"][0]["failures"], 2, "one of them was hidden by retries");
}

/// Home fails because its pods become unready; one endpoint elsewhere was ejected and is replaced.
fn emptied() -> String {
    let of = |mut event: Value, at: &str| {
        event["v"] = 1.into();
        event["ts"] = format!("2026-11-20T{at}Z").into();
        event["cluster"] = B.into();
        event
    };
    let removed = json!({"faultline": "endpoint_removed", "endpoint": "10.0.0.9:80", "locality": NEXT,
        "basis": "witnessed", "ejected_seconds": 7.5, "ejection": 1});
    let mut out = ejected("15:00:01.000", "10.0.0.9:80");
    out["locality"] = NEXT.into();
    let started = json!({"faultline": "failover_started", "basis": "witnessed", "from": HOME, "to": NEXT,
        "tier": "same_region", "share": 1.0, "cause": "endpoints_left", "healthy_at_home": 0, "endpoints_at_home": 0});
    let ended = json!({"faultline": "failover_ended", "basis": "witnessed", "from": HOME, "to": NEXT, "seconds": 20.0,
        "requests_away": 120, "errors_away": 2, "because": "recovered", "destinations": [
            {"to": NEXT, "seconds": 18.0, "requests": 110, "errors": 0},
            {"to": "cn-hangzhou/cn-hangzhou-k", "seconds": 2.0, "requests": 10, "errors": 2}]});
    bare(&[of(started, "15:00:00.000"), out, of(removed, "15:00:08.500"), of(ended, "15:00:30.000")])
}

#[test]
fn a_failover_is_told_with_its_cause_and_with_every_destination() {
    let told = json_of(&emptied());
    assert_eq!(
        told["headline"],
        "Traffic of mockb.default left ap-northeast-1a at 15:00:00 (endpoints there were gone from the cluster); up to \
         100 % of its traffic went to ap-northeast-1b for 20.0 s; 2 errors away from home."
    );
    let failover = &told["services"][0]["failovers"][0];
    assert_eq!(failover["causes"], json!(["endpoints_left"]));
    assert_eq!(
        failover["destinations"][1],
        json!({"to": "cn-hangzhou/cn-hangzhou-k", "seconds": 2.0, "requests": 10, "errors": 2})
    );
    let text = report(&emptied(), &[]).stdout;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = "for 20.0 s; endpoints there were gone from the cluster; 120 requests away, 2 failed (110 by \
        ap-northeast-1b in 18.0 s; 10 by cn-hangzhou-k in 2.0 s, 2 failed)";
    assert!(text.contains(sentence), "{text}");
    assert!(page_of(&emptied()).0.contains("<td class=\"\">gone from the cluster</td>"));
    // An older log has no causes and one destination, and is told as ever.
    assert_eq!(json_of(OUTAGE)["services"][0]["failovers"][0]["causes"], json!([]));
}

#[test]
fn an_endpoint_that_left_the_cluster_ends_its_ejection_without_a_return() {
    let told = json_of(&emptied());
    let ejection = &told["services"][0]["endpoints"][0]["ejections"][0];
    assert_eq!((&ejection["seconds"], &ejection["open"]), (&7.5.into(), &false.into()));
    assert_eq!(ejection["ended"], json!(["removed"]));
    assert_eq!(told["gaps"], json!([]));
    let (page, _) = page_of(&emptied());
    assert!(page.contains("for 7.5 s (consecutive 5xx), then left the cluster or was replaced, seen by"), "{page}");
    assert!(page.contains("class=\"gone\""), "the end of its bar differs from a return's");
    let text = report(&emptied(), &[]).stdout;
    assert!(text.lines().any(|line| line.contains("10.0.0.9:80") && line.contains("█┤")), "{text}");
    let back = bare(&[ejected("15:00:00.000", "10.0.0.1:80"), returned("15:00:10.000", "10.0.0.1:80", 10.0)]);
    assert_eq!(json_of(&back)["services"][0]["endpoints"][0]["ejections"][0]["ended"], json!(["returned"]));
    assert!(!page_of(&back).0.contains("class=\"gone\""));
    // To those who watch, it is no more ejected.
    let dir = tempfile::tempdir().unwrap();
    let ran = run_with_input(dir.path(), &["watch"], emptied().as_bytes()).exits(0);
    assert!(
        ran.stdout.contains("removed           mockb.default: 10.0.0.9:80 in ap-northeast-1b: left the"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("now: all is well"), "{ran:?}");
}

#[test]
fn the_same_is_told_whatever_the_log_looks_like() {
    let wanted = json_of(OUTAGE);
    let lines = || OUTAGE.lines();
    let istio = |line: &str| match line.find("wasm log") {
        Some(at) => {
            format!(
                "2026-11-20T15:43:08.000001Z\twarning\tenvoy wasm external/envoy/x.cc:1198\t{}\tthread=22",
                &line[at..]
            )
        }
        None => line.to_owned(),
    };
    let in_json = |line: &str| {
        json!({"level": "warn", "time": "2026-11-20T15:43:08.000001Z", "scope": "envoy wasm", "msg": istio(line)})
            .to_string()
    };
    let forms: [(&str, Vec<String>); 6] = [
        ("Istio's text", lines().map(istio).collect()),
        ("Istio's JSON", lines().map(in_json).collect()),
        (
            "Docker's JSON around Istio's",
            lines().map(|line| json!({"log": in_json(line) + "\n", "stream": "stdout"}).to_string()).collect(),
        ),
        (
            "a kubelet's file",
            lines().map(|line| format!("2026-11-20T15:43:08.000001Z stdout F {}", istio(line))).collect(),
        ),
        ("stern", lines().map(|line| format!("mocka-1 istio-proxy {}", istio(line))).collect()),
        ("Windows' line ends", lines().map(|line| format!("{line}\r")).collect()),
    ];
    for (form, lines) in forms {
        let told = json_of(&lines.join("\n"));
        for key in ["headline", "services", "lookFirst", "events", "gaps"] {
            let mut told = told[key].clone();
            if key == "services" {
                told[0]["proxies"] = wanted["services"][0]["proxies"].clone();
            }
            assert_eq!(told, wanted[key], "{key} of {form}");
        }
    }
}

#[test]
fn several_proxies_are_counted_and_what_they_saw_together_counts_once() {
    let told = json_of(THREE);
    assert_eq!(
        told["proxies"].as_array().unwrap().len(),
        3,
        "the pod that saw nothing counts, the applications do not"
    );
    let service = &told["services"][0];
    assert_eq!(service["proxies"].as_array().unwrap().len(), 2);
    let endpoints = service["endpoints"].as_array().unwrap();
    assert_eq!((endpoints.len(), &endpoints[0]["proxies"]), (1, &2.into()));
    let ejections = endpoints[0]["ejections"].as_array().unwrap();
    // Proxies are merged: the endpoint is out from the first ejection to the last return.
    assert_eq!((ejections.len(), &ejections[0]["seconds"], &ejections[0]["proxies"]), (1, &13.073.into(), &2.into()));
    let failovers = service["failovers"].as_array().unwrap();
    assert_eq!((failovers.len(), &failovers[0]["proxies"], &failovers[0]["seconds"]), (1, &2.into(), &13.124.into()));
    assert_eq!((&failovers[0]["requestsAway"], &failovers[0]["errorsAway"]), (&(2313 + 1876).into(), &2.into()));
    // Five things happened, each reported by two proxies. The timeline is in order of time, although the pods' logs
    // come one after the other.
    let timeline = told["timeline"].as_array().unwrap();
    let names: Vec<&str> = timeline.iter().map(|moment| moment["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["error_streak", "endpoint_ejected", "failover_started", "endpoint_returned", "failover_ended"]);
    assert!(timeline.iter().all(|moment| moment["proxies"].as_array().unwrap().len() == 2));
    assert!(report(THREE, &[]).stdout.contains("seen by 2 of 3 proxies"));
}

#[test]
fn lines_that_come_twice_count_once_and_other_files_are_other_proxies() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let lines: Vec<&str> = OUTAGE.lines().collect();
    write("mocka.log", OUTAGE);
    write("copy.txt", OUTAGE);
    write("early.log", &lines[..12].join("\n"));
    write("late.log", &lines[8..].join("\n"));
    write("other.log", &OUTAGE.replace("15:43:", "15:44:"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(OUTAGE.as_bytes()).unwrap();
    std::fs::write(dir.path().join("mocka.log.1.gz"), gzip.finish().unwrap()).unwrap();
    let told = |files: &[&str]| {
        let told = run(dir.path(), &[&["report", "--output", "json"], files].concat()).exits(0).json();
        (told["proxies"].as_array().unwrap().len(), told["events"].as_u64().unwrap())
    };
    assert_eq!(told(&["mocka.log", "mocka.log"]), (1, 23));
    assert_eq!(told(&["mocka.log", "copy.txt"]), (1, 23));
    assert_eq!(told(&["late.log", "early.log"]), (1, 23));
    assert_eq!(told(&["mocka.log.1.gz", "mocka.log"]), (1, 23));
    assert_eq!(told(&["mocka.log", "other.log"]), (2, 46));
    let again = run(dir.path(), &["report", "mocka.log", "mocka.log"]).exits(0);
    assert!(again.stderr.contains("23 events came again"), "{}", again.stderr);
}

#[test]
fn what_is_missing_is_said_and_what_is_not_over_is_open() {
    // The log starts too late, so the ejection time is computed from the return.
    let late = bare(&[returned("15:10:30.000", "10.0.0.1:80", 20.0)]);
    let told = json_of(&late);
    let ejection = &told["services"][0]["endpoints"][0]["ejections"][0];
    assert_eq!((&ejection["start"], &ejection["beganEarlier"]), (&"2026-11-20T15:10:10.000Z".into(), &true.into()));
    assert!(told["gaps"][0].as_str().unwrap().contains("1 thing ended without having begun"));

    // The log ends too early, so the ejection is open until the last line, which is unrelated.
    let early = bare(&[ejected("15:10:00.000", "10.0.0.1:80")]) + "2026-11-20T15:11:00Z info ready\n";
    let told = json_of(&early);
    let ejection = &told["services"][0]["endpoints"][0]["ejections"][0];
    assert_eq!((&ejection["open"], &ejection["seconds"]), (&true.into(), &60.0.into()));
    assert!(told["headline"].as_str().unwrap().contains("not over when the log ended"));
    assert!(report(&early, &[]).stdout.contains("still open: 1 ejected endpoint"));

    // Gaps: held-back events, a line that is cut off, and an unknown event.
    let held =
        json!({"faultline": "events_suppressed", "v": 1, "ts": "2026-11-20T15:10:01Z", "count": 7, "seconds": 1.0});
    let new = json!({"faultline": "moon_eclipsed", "v": 9, "ts": "2026-11-20T15:10:01Z"});
    let cut = &OUTAGE.lines().last().unwrap()[..180];
    let told =
        json_of_part(&format!("{}{}\n{cut}\n", bare(&[ejected("15:10:00.000", "10.0.0.1:80")]), bare(&[held, new])));
    let gaps = told["gaps"].to_string();
    for words in ["held back 7 events", "1 event could not be read: its line is cut off", "1 event `moon_eclipsed`"] {
        assert!(gaps.contains(words), "{words} is not in {gaps}");
    }

    // Several proxies without names are reported as a gap, because nothing else explains the log.
    let twice = bare(&[ejected("15:10:00.000", "10.0.0.1:80"), ejected("15:10:00.200", "10.0.0.1:80")]);
    assert!(json_of(&twice)["gaps"].to_string().contains("--prefix"));
}

/// The end of a failover that lasted for so many seconds.
fn failover_ended(at: &str, seconds: f64, because: &str) -> Value {
    json!({"faultline": "failover_ended", "v": 1, "ts": format!("2026-11-20T{at}Z"), "cluster": B, "from": HOME,
        "to": NEXT, "seconds": seconds, "requests_away": 40, "errors_away": 0, "because": because,
        "destinations": [{"to": NEXT, "seconds": seconds, "requests": 40, "errors": 0}]})
}

#[test]
fn a_failover_whose_start_is_missing_is_reckoned_from_the_last_request_away() {
    let failover = |log: &str, more: &[&str]| {
        let told = report(log, &[&["--output", "json"], more].concat()).json();
        let failover = &told["services"][0]["failovers"][0];
        (failover["start"].clone(), failover["end"].clone(), told["gaps"][0].as_str().unwrap().to_owned())
    };
    // Its end is told 20 s after the last request away, by default.
    let ended = bare(&[failover_ended("15:10:50.000", 13.0, "recovered")]);
    let (start, end, gap) = failover(&ended, &[]);
    assert_eq!((start, end), ("2026-11-20T15:10:17.000Z".into(), "2026-11-20T15:10:30.000Z".into()));
    assert!(gap.contains("the log begins later") && gap.contains("the default 20 s"), "{gap}");
    let (start, end, _) = failover(&bare(&[failover_ended("15:10:50.000", 13.0, "topology")]), &[]);
    assert_eq!((start, end), ("2026-11-20T15:10:37.000Z".into(), "2026-11-20T15:10:50.000Z".into()));
    // Where others in the log have both ends, they tell how late it is told.
    let started = json!({"faultline": "failover_started", "v": 1, "ts": "2026-11-20T15:11:00Z", "cluster": B,
        "from": HOME, "to": NEXT, "share": 1.0});
    let both = ended.clone() + &bare(&[started, failover_ended("15:11:14.000", 10.0, "recovered")]);
    let (start, end, gap) = failover(&both, &[]);
    assert_eq!((start, end), ("2026-11-20T15:10:33.000Z".into(), "2026-11-20T15:10:46.000Z".into()));
    assert!(gap.contains("with 4.0 s from the last request away to the event, as others in the log have it"), "{gap}");
    // What --since leaves out is read all the same, so it is the log that begins later.
    let (start, _, gap) = failover(&ended, &["--since", "15:10:20"]);
    assert_eq!(start, "2026-11-20T15:10:17.000Z");
    assert!(gap.contains("the log begins later") && !gap.contains("--since"), "{gap}");
    // A change tells that it went on; the end tells since when.
    let changed = json!({"faultline": "failover_changed", "v": 1, "ts": "2026-11-20T15:10:25Z", "cluster": B,
        "from": HOME, "to": NEXT, "share": 1.0});
    let (start, end, _) = failover(&bare(&[changed, failover_ended("15:10:50.000", 13.0, "recovered")]), &[]);
    assert_eq!((start, end), ("2026-11-20T15:10:17.000Z".into(), "2026-11-20T15:10:30.000Z".into()));
}

#[test]
fn nothing_is_no_error_and_says_where_to_look() {
    let ran = report("2026-11-20T15:11:00Z info ready\nx\n", &[]);
    assert!(ran.stdout.starts_with("no faultline events in 2 lines"), "{}", ran.stdout);
    assert!(ran.stdout.contains("wasm:warning"), "{}", ran.stdout);
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &["report", "--html", "page.html"], b"").exits(0);
    parsed(&std::fs::read_to_string(dir.path().join("page.html")).unwrap());
    run(dir.path(), &["report", "absent.log"]).fails_with(&["cannot read the log `absent.log`", "No such file"]);
    run(dir.path(), &["report", "."]).fails_with(&["cannot read the log `.`"]);
    run(dir.path(), &["report", "--since", "noon"]).refuses_usage_with(&["`noon` is no time; write 2026-11-20T"]);
}

#[test]
fn a_time_and_a_service_can_be_chosen() {
    let count =
        |args: &[&str]| report(OUTAGE, &[&["--output", "json"], args].concat()).json()["events"].as_u64().unwrap();
    assert_eq!(count(&["--until", "15:43:24"]), 4);
    assert_eq!(count(&["--since", "15:43:24"]), 19);
    assert_eq!(count(&["--since", "2026-11-20T16:43:25.0+01:00", "--until", "15:43:26"]), 6);
    for glob in ["outbound*mockb*", "mockb.default", "mockb.*.svc.cluster.local", "mock?.default"] {
        assert_eq!(count(&["--cluster", glob]), 23, "{glob}");
    }
    assert_eq!(count(&["--cluster", "mockc*"]), 0);
    let ran = report(OUTAGE, &["--cluster", "mockc*"]);
    assert!(ran.stdout.contains("without them there are 23"), "{}", ran.stdout);
}

#[test]
fn the_terminal_gets_lines_that_fit_and_no_colours_in_a_pipe() {
    for (log, columns) in [(THREE, 80), (OUTAGE, 80), (THREE, 120), (OUTAGE, 100)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("proxy.log"), log).unwrap();
        let mut command = support::faultline(dir.path(), &["report", "proxy.log"]);
        let ran = Ran::from(command.env("COLUMNS", columns.to_string()).output().unwrap()).exits(0);
        assert!(!ran.stdout.contains('\u{1b}'));
        assert!(ran.stdout.lines().all(|line| line.chars().count() <= columns), "{columns}: {}", ran.stdout);
    }
    // A log's text cannot reach the terminal as control sequences.
    let evil = bare(&[ejected("15:10:00.000", "10.0.0.1\u{1b}]0;owned\u{7}:80")]);
    assert!(!report(&evil, &[]).stdout.contains(['\u{1b}', '\u{7}']));
}

fn parsed(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}: {page}"))
}

fn page_of(input: &str) -> (String, Value) {
    let dir = tempfile::tempdir().unwrap();
    let args = ["report", "--html", "page.html", "--output", "json"];
    let told = run_with_input(dir.path(), &args, input.as_bytes()).exits(0).json();
    (std::fs::read_to_string(dir.path().join("page.html")).unwrap(), told)
}

fn text_of(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|n| n.is_text().then(|| n.text()).flatten()).collect()
}

#[test]
fn the_page_says_what_the_json_says_and_needs_nothing_beside_itself() {
    for log in [OUTAGE, THREE] {
        let (page, told) = page_of(log);
        let document = parsed(&page);
        let find = |name: &'static str| {
            document.descendants().filter(move |node| node.has_tag_name(name) || node.tag_name().name() == name)
        };
        assert_eq!(text_of(find("h1").next().unwrap()), told["headline"].as_str().unwrap());
        // The table has one row with requests, errors and proxies for each failover.
        let rows: Vec<Vec<String>> =
            find("tr").map(|row| row.children().filter(Node::is_element).map(text_of).collect()).collect();
        for failover in told["services"][0]["failovers"].as_array().unwrap() {
            let cell = |key: &str| match failover[key].as_u64().unwrap() {
                n if n >= 1000 => format!("{},{:03}", n / 1000, n % 1000),
                n => n.to_string(),
            };
            let wanted = [cell("requestsAway"), cell("errorsAway"), "recovered".to_owned(), cell("proxies")];
            assert!(rows.iter().any(|row| row.ends_with(&wanted)), "{wanted:?} is not in {rows:?}");
        }
        let moments = told["timeline"].as_array().unwrap();
        assert!(
            moments.iter().all(|m| rows.iter().any(|row| row.iter().any(|cell| *cell == m["text"].as_str().unwrap())))
        );
        // Each picture has a text alternative and shows every ejection.
        let picture = find("svg").next().unwrap();
        assert_eq!(picture.attribute("role"), Some("img"));
        let ids: BTreeSet<&str> = picture.descendants().filter_map(|node| node.attribute("id")).collect();
        assert!(picture.attribute("aria-labelledby").unwrap().split(' ').all(|id| ids.contains(id)));
        let tips: Vec<String> = picture.descendants().filter(|n| n.tag_name().name() == "title").map(text_of).collect();
        for endpoint in told["services"][0]["endpoints"].as_array().unwrap() {
            let address = endpoint["address"].as_str().unwrap();
            let drawn = tips.iter().filter(|tip| tip.starts_with(&format!("{address} ejected"))).count();
            assert_eq!(drawn, endpoint["ejections"].as_array().unwrap().len(), "{address}");
        }
        assert_eq!(find("script").count() + find("link").count() + find("img").count(), 0);
        assert!(!page.contains("url(") && !page.contains("@import"));
        let addresses = page.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xhtml", "");
        assert!(!addresses.contains("http"), "the page names an address");
    }
}

#[test]
fn nothing_in_a_log_becomes_markup() {
    let evil = "</title></style></svg><script>alert('x')</script>\u{1b}&\"";
    let log = bare(&[
        json!({"faultline": "error_streak", "ts": "2026-11-20T15:10:00Z", "cluster": evil, "endpoint": evil,
            "locality": evil, "workload": evil, "kind": evil, "streak": 1, "threshold": 1,
            "last": {"code": 503, "flags": evil, "details": evil}}),
        json!({"faultline": "endpoint_ejected", "ts": "2026-11-20T15:10:00Z", "cluster": evil, "endpoint": evil,
            "locality": evil, "basis": evil, "reason": evil, "ejection": 1, "ejected_endpoints": 1, "endpoints": 1}),
        json!({"faultline": "failover_started", "ts": "2026-11-20T15:10:01Z", "cluster": evil, "from": evil,
            "to": format!("r/{evil}"), "tier": evil, "share": 0.5}),
        json!({"faultline": "failover_ended", "ts": "2026-11-20T15:10:09Z", "cluster": evil, "from": evil, "to": evil,
            "seconds": 7.5, "requests_away": 1, "because": evil}),
        json!({"faultline": "ejection_blocked", "ts": "2026-11-20T15:10:10Z", "cluster": evil, "endpoint": evil,
            "reason": evil}),
        json!({"faultline": "config_rejected", "ts": "2026-11-20T15:10:10Z", "error": evil}),
    ]);
    let (page, _) = page_of(&log);
    assert_eq!(parsed(&page).descendants().filter(|node| node.tag_name().name() == "script").count(), 0);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains('\u{1b}'));
}

#[test]
fn the_picture_in_the_documents_is_what_the_program_draws() {
    let (page, _) = page_of(OUTAGE);
    let (start, end) = (page.find("<svg").unwrap(), page.find("</svg>").unwrap() + "</svg>".len());
    let drawn = format!("{}\n", &page[start..end]);
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/incident.svg");
    if std::env::var_os("FAULTLINE_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == drawn,
        "docs/incident.svg is of another version: run this test with FAULTLINE_WRITE_DOCS=1 and look at it"
    );
}
