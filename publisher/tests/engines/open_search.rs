//! OpenSearch and Elasticsearch, by a stub of their APIs: pages of a point in time, failed shards, numbers of all.

use std::path::Path;

use serde_json::{Value, json};

use crate::fleet::{self, Line, RANGE};
use crate::process::ask;
use crate::search_engine::{Index, Stored, record};
use crate::skip::{Tool, skip};
use crate::stub::{Asked, Stub};
use crate::support::run;

/// Answers like either engine; `failed` shards of five take no part.
fn stub(lines: Vec<Line>, stored: Stored, failed: u64) -> Stub {
    let index = Index::of(&lines, stored);
    answering(lines, index, failed)
}

fn answering(lines: Vec<Line>, index: Index, failed: u64) -> Stub {
    let shards = json!({"total": 5, "successful": 5 - failed, "failed": failed});
    Stub::answering(move |asked| {
        let path = asked.target.split('?').next().unwrap_or_default();
        let mut answer = match path {
            "POST /logs-*/_search/point_in_time" => json!({"pit_id": "p"}),
            "POST /logs-*/_pit" => json!({"id": "p"}),
            "POST /_search" if asked.body.contains(r#""sort":"#) => page(&lines, &index, asked),
            "DELETE /_search/point_in_time" | "DELETE /_pit" => json!({}),
            other => match index.answer(asked) {
                Some(answer) => answer,
                None => return (404, other.to_owned()),
            },
        };
        (answer["timed_out"], answer["_shards"]) = (false.into(), shards.clone());
        (200, answer.to_string())
    })
}

/// A page of what comes after `search_after`.
fn page(lines: &[Line], index: &Index, asked: &Asked) -> Value {
    let body: Value = serde_json::from_str(&asked.body).expect("it is JSON");
    assert_eq!(body["pit"]["id"], "p");
    let from = body["search_after"][1].as_u64().map_or(0, |last| last as usize + 1);
    let hit = |n: usize| json!({"_source": record(&lines[n], Stored::AsText), "sort": [lines[n].at, n]});
    let passing = index.passing(&body["query"]).into_iter().filter(|n| *n >= from);
    let hits = passing.take(body["size"].as_u64().expect("it is a number") as usize);
    json!({"hits": {"hits": hits.map(hit).collect::<Vec<_>>()}})
}

fn report(stub: &Stub, engine: &str, more: &[&str]) -> crate::support::Ran {
    let logs = format!("{engine}+http://{}/logs-*", stub.host);
    run(Path::new("."), &[&["report", "--logs", &logs, "--output", "json"][..], &RANGE, more].concat())
}

#[test]
fn pages_of_a_point_in_time_are_read_and_it_is_given_back() {
    for (engine, last) in [("opensearch", "DELETE /_search/point_in_time"), ("elasticsearch", "DELETE /_pit")] {
        // More than a page.
        let stub = stub(fleet::lines(1400), Stored::AsText, 0);
        let told = report(&stub, engine, &["--query", r#"kubernetes.namespace:"shop""#]).exits(0).json();
        assert_eq!((&told["proxyCount"], &told["events"]), (&1400.into(), &(1400 * 8 - 1).into()));
        let asked = stub.asked();
        assert!(asked[0].body.contains(r#"{"query":"kubernetes.namespace:\"shop\""}"#), "{}", asked[0].body);
        let searches = asked.iter().filter(|asked| asked.target.starts_with("POST /_search?")).collect::<Vec<_>>();
        assert_eq!(searches.len(), 2);
        assert!(searches.iter().all(|asked| asked.target.ends_with("allow_partial_search_results=false")));
        assert_eq!(asked.last().map(|asked| asked.target.as_str()), Some(last));
        assert!(serde_json::to_string_pretty(&told).unwrap().len() < 100_000, "of a fleet the JSON stays small");
    }
}

#[test]
fn failed_shards_are_refused() {
    let words = ["has 1 failed shards of 5", "nothing is told"];
    report(&stub(fleet::lines(4), Stored::AsText, 1), "opensearch", &[]).fails_with(&words);
}

#[test]
fn numbers_of_events_that_were_not_taken_apart_are_not_computed() {
    let stub = stub(fleet::lines(4), Stored::AsText, 0);
    let words = ["there are 31 events", "--most 31", "31 of them are events, as whole texts", "deploy/otel"];
    report(&stub, "opensearch", &["--most", "5"]).fails_with(&words);
    // What was opened is given back.
    assert_eq!(stub.asked().last().map(|asked| asked.target.clone()), Some("DELETE /_search/point_in_time".to_owned()));
}

#[test]
fn an_event_that_would_be_left_out_of_the_numbers_is_said() {
    for (key, words) in [
        ("kubernetes", &["only 30 of 31 events name their pod in `kubernetes.pod.name.keyword`", "--query"][..]),
        ("faultline", &["1 of them are whole texts without `faultline.event.keyword`", "deploy/otel"]),
        ("share", &["1 of them lack `faultline.share` as a number", "deploy/otel"]),
    ] {
        let lines = fleet::lines(4);
        let index = Index::of_but(&lines, Stored::TakenApart, key);
        let stub = answering(lines, index, 0);
        report(&stub, "opensearch", &["--most", "5"]).fails_with(words);
    }
}

#[test]
fn the_numbers_that_it_computes_are_those_of_all_events() {
    for engine in ["opensearch", "elasticsearch"] {
        let stub = stub(fleet::lines(700), Stored::TakenApart, 0);
        numbers_are_those_of_all(700, &|more| report(&stub, engine, more));
    }
}

/// Compares what is told of all events with what the engine computes of them.
fn numbers_are_those_of_all(proxies: u64, report: &dyn Fn(&[&str]) -> crate::support::Ran) {
    let pulled = report(&[]).exits(0).json();
    assert_eq!((&pulled["proxyCount"], &pulled["events"]), (&proxies.into(), &(proxies * 8 - 1).into()));
    let sampled = report(&["--most", "100"]).exits(0).json();
    let read = sampled["fleet"]["timelineOf"].as_u64().unwrap();
    assert!((10..=50).contains(&read), "{read}");
    assert_eq!(sampled["proxyCount"], read);
    let (mut some, mut all) = (fleet::numbers(&sampled), fleet::numbers(&pulled));
    for endpoint in some["incidents"].as_array_mut().unwrap().iter_mut().flat_map(|one| endpoints(one)) {
        assert_eq!(endpoint.as_object_mut().unwrap().remove("estimated"), Some(true.into()));
    }
    // An estimate may be off by one in a hundred.
    for told in [&mut some, &mut all] {
        for endpoint in told["incidents"].as_array_mut().unwrap().iter_mut().flat_map(|one| endpoints(one)) {
            let told = endpoint["proxies"].take().as_u64().unwrap() * 2;
            assert!(told.abs_diff(proxies) * 100 <= proxies, "{told}");
            endpoint["first"].take();
        }
    }
    assert_eq!(some, all);
}

fn endpoints(incident: &mut Value) -> Vec<&mut Value> {
    incident["endpoints"].as_array_mut().unwrap().iter_mut().collect()
}

/// A real node: whoever has one names its port.
#[test]
fn a_real_node_gives_all_events_and_computes_their_numbers() {
    let named = std::env::var("FAULTLINE_OPENSEARCH_PORT").ok().and_then(|port| port.parse().ok());
    let Some(port) = named else {
        return skip("open_search", Tool::Optional, "FAULTLINE_OPENSEARCH_PORT names no port of a running OpenSearch");
    };
    let lines = fleet::lines(1400);
    for stored in [Stored::AsText, Stored::TakenApart] {
        let index = format!("faultline-test-{}", std::process::id());
        let body: String =
            lines.iter().map(|line| format!("{{\"create\":{{}}}}\n{}\n", record(line, stored))).collect();
        let answer = ask(port, "POST", &format!("/{index}/_bulk?refresh=true"), "application/x-ndjson", &body);
        assert!(answer.0 == 200 && answer.1.contains("\"errors\":false"), "{}", answer.1);
        // Another index beside it has none of the fields.
        let other = format!("{index}-other");
        let another = json!({"@timestamp": fleet::time(fleet::BEGIN), "message": "of no proxy"}).to_string();
        ask(port, "POST", &format!("/{other}/_doc?refresh=true"), "application/json", &another);
        let logs = format!("opensearch+http://127.0.0.1:{port}/{index}*");
        let report = |more: &[&str]| {
            run(Path::new("."), &[&["report", "--logs", &logs, "--output", "json"][..], &RANGE, more].concat())
        };
        let _deleted = [Deleted { port, index }, Deleted { port, index: other }];
        if stored == Stored::TakenApart {
            numbers_are_those_of_all(1400, &report);
        } else {
            let told = report(&[]).exits(0).json();
            assert_eq!((&told["proxyCount"], &told["events"]), (&1400.into(), &lines.len().into()));
            report(&["--most", "100"]).fails_with(&["11199 of them are events, as whole texts", "deploy/otel"]);
        }
    }
}

/// An index that is deleted with the test.
struct Deleted {
    port: u16,
    index: String,
}

impl Drop for Deleted {
    fn drop(&mut self) {
        ask(self.port, "DELETE", &format!("/{}", self.index), "application/json", "");
    }
}
