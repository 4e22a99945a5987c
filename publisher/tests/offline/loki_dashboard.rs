//! The dashboard of the events for Loki: each query finds its events in the logs of a real outage, by its own filter,
//! regular expression and keys, and the list of events to choose from is the filter's. Loki itself is not asked.

use std::collections::BTreeSet;
use std::path::Path;

use filter_core::event::EventKind;
use regex::Regex;
use serde_json::Value;

const OUTAGE: &str = include_str!("../logs/zone-outage.log");

fn dashboard() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/loki/faultline-loki.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What stands between backticks after each place where a text has this word.
fn quoted<'q>(query: &'q str, word: &str) -> Vec<&'q str> {
    query.split(word).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('`')?.split('`').next()).collect()
}

/// The keys that each `json` of a query reads.
fn keys(query: &str) -> Vec<BTreeSet<String>> {
    let key = Regex::new(r#"[a-z_]+="([a-z_]+)""#).unwrap();
    let stages = query.split("| json ").skip(1).filter_map(|rest| rest.split(" | ").next());
    stages.map(|stage| key.captures_iter(stage).map(|found| found[1].to_owned()).collect()).collect()
}

#[test]
fn every_query_finds_its_events() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 10);
    for query in
        panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).map(|it| it["expr"].as_str().unwrap())
    {
        let (patterns, keys) = (quoted(query, "| regexp"), keys(query));
        let filters = [quoted(query, "|="), quoted(query, "|~")].concat();
        assert!(!patterns.is_empty() && patterns.len() == keys.len() && keys.len() == filters.len(), "{query}");
        for (pattern, keys) in patterns.iter().zip(&keys) {
            let pattern = Regex::new(pattern).unwrap();
            let passes = |line: &&str| filters.iter().any(|filter| Regex::new(filter).unwrap().is_match(line));
            let events =
                OUTAGE.lines().filter(passes).filter_map(|line| Some(pattern.captures(line)?["event"].to_owned()));
            let events: Vec<Value> = events.map(|event| serde_json::from_str(&event).unwrap()).collect();
            assert!(!events.is_empty(), "{query}");
            for event in &events {
                assert!(keys.iter().all(|key| !event[key].is_null()), "{query}: {event}");
            }
        }
    }
}

#[test]
fn the_events_to_choose_from_are_the_filters() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let events = variables.iter().find(|variable| variable["name"] == "event").unwrap();
    let events: BTreeSet<&str> = events["query"].as_str().unwrap().split(',').collect();
    assert_eq!(events, EventKind::TABLE.iter().map(|(name, _)| *name).collect());
}
