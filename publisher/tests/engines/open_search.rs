//! OpenSearch and Elasticsearch, by a stub of their APIs: pages of a point in time, failed shards, no index.

use std::path::Path;

use serde_json::{Value, json};

use crate::fleet::{self, Line, RANGE};
use crate::process::ask;
use crate::skip::{Tool, skip};
use crate::stub::{Asked, Stub};
use crate::support::run;

/// Answers like either engine; `failed` shards of five take no part.
fn stub(lines: Vec<Line>, failed: u64) -> Stub {
    let shards = json!({"total": 5, "successful": 5 - failed, "failed": failed});
    Stub::answering(move |asked| {
        let path = asked.target.split('?').next().unwrap_or_default();
        let answer = match path {
            "POST /logs-*/_count" => json!({"count": lines.len(), "_shards": shards}),
            "POST /logs-*/_search/point_in_time" => json!({"pit_id": "p", "_shards": shards}),
            "POST /logs-*/_pit" => json!({"id": "p"}),
            "POST /_search" => page(&lines, asked, &shards),
            "DELETE /_search/point_in_time" | "DELETE /_pit" => json!({}),
            other => return (404, other.to_owned()),
        };
        (200, answer.to_string())
    })
}

/// A page of what comes after `search_after`.
fn page(lines: &[Line], asked: &Asked, shards: &Value) -> Value {
    let body: Value = serde_json::from_str(&asked.body).expect("it is JSON");
    assert_eq!(body["pit"]["id"], "p");
    let from = body["search_after"][1].as_u64().map_or(0, |last| last as usize + 1);
    let hit = |(n, line): (usize, &Line)| {
        let source = json!({"@timestamp": fleet::time(line.at), "message": line.text(),
            "kubernetes": {"pod": {"name": line.pod}, "namespace": "shop"},
            "orchestrator": {"cluster": {"name": line.kubernetes_cluster}}});
        json!({"_source": source, "sort": [line.at, n]})
    };
    let hits = lines.iter().enumerate().skip(from).take(body["size"].as_u64().expect("it is a number") as usize);
    json!({"timed_out": false, "_shards": shards, "hits": {"hits": hits.map(hit).collect::<Vec<_>>()}})
}

fn report(stub: &Stub, engine: &str, more: &[&str]) -> crate::support::Ran {
    let logs = format!("{engine}+http://{}/logs-*", stub.host);
    run(Path::new("."), &[&["report", "--logs", &logs, "--output", "json"][..], &RANGE, more].concat())
}

#[test]
fn pages_of_a_point_in_time_are_read_and_it_is_given_back() {
    for (engine, last) in [("opensearch", "DELETE /_search/point_in_time"), ("elasticsearch", "DELETE /_pit")] {
        // More than a page.
        let stub = stub(fleet::lines(1400), 0);
        let told = report(&stub, engine, &["--query", "kubernetes.namespace:shop"]).exits(0).json();
        assert_eq!((&told["proxyCount"], &told["events"]), (&1400.into(), &(1400 * 8 - 1).into()));
        let asked = stub.asked();
        assert!(asked[0].body.contains(r#""query_string":{"query":"kubernetes.namespace:shop"}"#), "{}", asked[0].body);
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
    report(&stub(fleet::lines(4), 1), "opensearch", &[]).fails_with(&words);
}

#[test]
fn too_many_events_are_not_read_in_part() {
    let stub = stub(fleet::lines(4), 0);
    report(&stub, "opensearch", &["--most", "5"]).fails_with(&["there are 31 events", "--most 31"]);
}

/// A real node: whoever has one names its port.
#[test]
fn a_real_node_gives_all_events() {
    let named = std::env::var("FAULTLINE_OPENSEARCH_PORT").ok().and_then(|port| port.parse().ok());
    let Some(port) = named else {
        return skip("open_search", Tool::Optional, "FAULTLINE_OPENSEARCH_PORT names no port of a running OpenSearch");
    };
    let index = format!("faultline-test-{}", std::process::id());
    let lines = fleet::lines(1400);
    let record = |line: &Line| {
        let source = json!({"@timestamp": fleet::time(line.at), "message": line.text(),
            "kubernetes": {"pod": {"name": line.pod}, "namespace": "shop"},
            "orchestrator": {"cluster": {"name": line.kubernetes_cluster}}});
        format!("{{\"create\":{{}}}}\n{source}\n")
    };
    let body: String = lines.iter().map(record).collect();
    let stored = ask(port, "POST", &format!("/{index}/_bulk?refresh=true"), "application/x-ndjson", &body);
    assert!(stored.0 == 200 && stored.1.contains("\"errors\":false"), "{}", stored.1);
    let logs = format!("opensearch+http://127.0.0.1:{port}/{index}");
    let told = run(Path::new("."), &[&["report", "--logs", &logs, "--output", "json"][..], &RANGE].concat());
    ask(port, "DELETE", &format!("/{index}"), "", "");
    let told = told.exits(0).json();
    assert_eq!((&told["proxyCount"], &told["events"]), (&1400.into(), &lines.len().into()));
}
