//! The dashboard of the events, queried as by Grafana: every query of it, with its variables filled in, goes to a real
//! VictoriaLogs that has a fleet's events, and each must find something. How Grafana draws it is not tested here.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::fleet::{self, BEGIN, CLUSTER};
use crate::process::{ask, eventually};
use crate::skip::{Tool, skip};
use crate::victoria_logs::{PROGRAM, start, store};

/// A panel whose value is correctly nothing in this outage.
const QUIET: &str = "Proxies that found nothing healthy";

/// The address of the API that Grafana's plugin asks for a query of this type.
fn path(kind: &str) -> &'static str {
    match kind {
        "stats" => "/select/logsql/stats_query",
        "statsRange" => "/select/logsql/stats_query_range",
        "instant" => "/select/logsql/query",
        other => panic!("the plugin has no type {other} of queries"),
    }
}

/// A form with these fields.
fn form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        let _ = write!(out, "&{name}=");
        for byte in value.bytes() {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The names of what an answer of statistics has values of.
fn series(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    answer["data"]["result"].as_array().unwrap().clone()
}

#[test]
fn every_query_finds_something_and_choosing_narrows_it() {
    let Some(program) = PROGRAM.as_ref() else {
        return skip("the log dashboard", Tool::Optional, "no victoria-logs, and no Go to install it with");
    };
    let dir = tempfile::tempdir().unwrap();
    let (_running, port) = start(program, dir.path(), &[]);
    store(port, 40, true);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/victorialogs/faultline-logs.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (from, to) = (fleet::time(BEGIN), fleet::time(BEGIN + 600_000));
    let asked = |target: &Value, [service, place, event]: [&str; 3]| {
        let query = target["expr"].as_str().unwrap();
        let query = query.replace("${service:doublequote}", service).replace("${place:doublequote}", place);
        let query = query.replace("${event:doublequote}", event);
        assert!(!query.contains('$'), "a variable that this test does not know: {query}");
        let fields = [("query", query.as_str()), ("start", &from), ("end", &to), ("step", "30s")];
        let kind = "application/x-www-form-urlencoded";
        let (status, answer) = ask(port, "POST", path(target["queryType"].as_str().unwrap()), kind, &form(&fields));
        assert_eq!(status, 200, "{query}: {answer}");
        answer
    };
    let (service, one) = (format!("\"{CLUSTER}\""), "\"west\"");
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            panels += 1;
            let title = panel["title"].as_str().unwrap();
            let both = || (asked(target, ["*"; 3]), asked(target, [&service, one, "\"failover_started\""]));
            if target["queryType"] == "instant" {
                // Right after they came, records may be counted and not yet be given.
                eventually("the events themselves", || {
                    let (all, chosen) = both();
                    (all.lines().count(), chosen.lines().count()) == (40 * 8 - 1, 20)
                });
                continue;
            }
            let (all, chosen) = both();
            for series in [series(&all), series(&chosen)] {
                let zero = |one: &Value| one["value"][1] == "0";
                assert!(!series.is_empty() && (title == QUIET) == series.iter().all(zero), "{title}: {series:?}");
            }
            let nowhere = series(&asked(target, [&service, "\"nowhere\"", "*"]));
            assert!(nowhere.iter().all(|one| one["value"][1] == "0"), "{title}: {nowhere:?}");
        }
    }
    assert!(panels > 10, "{panels}");
    for variable in dashboard["templating"]["list"].as_array().unwrap().iter().filter(|it| it["type"] == "query") {
        let (query, field) = (&variable["query"]["query"], &variable["query"]["field"]);
        let fields = [("query", query.as_str().unwrap()), ("field", field.as_str().unwrap()), ("start", &from)];
        let kind = "application/x-www-form-urlencoded";
        let (_, answer) = ask(port, "POST", "/select/logsql/field_values", kind, &form(&fields));
        assert!(answer.contains("\"value\":\""), "{variable}: {answer}");
    }
}
