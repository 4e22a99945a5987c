//! Tests what `faultline report` tells of several Kubernetes clusters: how many of the proxies that were heard of saw
//! an incident, and the picture with a bar for each Kubernetes cluster.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};

use crate::support::{Ran, run_with_input};

const CART: &str = "outbound|8000||cart.shop.svc.cluster.local";

fn report(log: &str, args: &[&str]) -> (Ran, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (run_with_input(dir.path(), &[&["report"], args].concat(), log.as_bytes()).exits(0), dir)
}

/// A line of a proxy's log, as a shipper stores it.
fn record(kubernetes_cluster: &str, pod: &str, line: &str) -> String {
    json!({"labels": {"pod": pod, "container": "istio-proxy", "cluster": kubernetes_cluster}, "line": line}).to_string()
        + "\n"
}

fn event(name: &str, at: &str, more: Value) -> String {
    let mut event = json!({"faultline": name, "v": 1, "ts": format!("2026-11-20T{at}Z"), "cluster": CART});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event.to_string()
}

/// In `east` two of three proxies fail over and one of them does not come back; in `west` one of two finds nothing
/// healthy. The others' logs have only what is nobody's event.
fn log() -> String {
    let route = json!({"from": "eu/eu-a", "to": "eu/eu-b", "tier": "same_region", "share": 0.98});
    let end = json!({"from": "eu/eu-a", "to": "eu/eu-b", "seconds": 60.0, "requests_away": 100, "errors_away": 2});
    let quiet = "[2026-11-20T12:00:00.000Z] \"GET / HTTP/1.1\" 200";
    [
        record("east", "a", &event("failover_started", "12:00:00.000", route.clone())),
        record("east", "b", &event("failover_started", "12:00:01.000", route)),
        record("east", "b", &event("failover_ended", "12:01:01.000", end)),
        record("east", "c", quiet),
        record("west", "a", &event("no_healthy_upstream", "12:00:02.000", json!({"endpoints": 3}))),
        record("west", "d", quiet),
    ]
    .concat()
}

fn text_of(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|n| n.is_text().then(|| n.text()).flatten()).collect()
}

#[test]
fn an_incident_is_seen_by_some_of_those_that_were_heard_of() {
    let (told, _dir) = report(&log(), &["--output", "json"]);
    let fleet = &told.json()["fleet"];
    assert_eq!((&fleet["proxies"], &fleet["proxiesHeardOf"]), (&3.into(), &5.into()));
    let of = |place: &str| {
        let all = fleet["incidents"].as_array().unwrap();
        let one = all.iter().find(|one| one["kubernetesCluster"] == place).unwrap();
        (one["proxies"].as_u64().unwrap(), one["proxiesHeardOf"].as_u64().unwrap())
    };
    assert_eq!((of("east"), of("west")), ((2, 3), (1, 2)));
    let (told, _dir) = report(&log(), &[]);
    for said in [
        "cart.shop in east: seen by 2 of 3 proxies, 12:00:00 to 12:01:01",
        "cart.shop in west: seen by 1 of 2 proxies",
        "How many talk to the service, the logs do not tell.",
    ] {
        assert!(told.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(said), "{said}: {}", told.stdout);
    }
}

#[test]
fn the_picture_of_a_fleet_has_a_bar_for_each_kubernetes_cluster() {
    let (told, dir) = report(&log(), &["--html", "page.html"]);
    assert!(told.stderr.contains("page written"), "{}", told.stderr);
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&page, options).unwrap();
    let pictures: Vec<Node<'_, '_>> = document.descendants().filter(|node| node.tag_name().name() == "svg").collect();
    let fleet = pictures[0];
    let texts: Vec<String> = fleet.descendants().filter(|n| n.tag_name().name() == "text").map(text_of).collect();
    for said in ["cart.shop", "east", "west", "2 of 3 proxies; up to 98 % to eu-b"] {
        assert!(texts.iter().any(|text| text == said), "{said}: {texts:?}");
    }
    // A bar has a tip with all of it, and its colour is that of the worst.
    let bars: Vec<(String, String)> = fleet
        .descendants()
        .filter(|node| node.tag_name().name() == "g")
        .map(|bar| {
            let named = |name: &'static str| bar.children().find(move |n| n.tag_name().name() == name).unwrap();
            (text_of(named("title")), named("rect").attribute("class").unwrap().to_owned())
        })
        .collect();
    let of = |place: &str| bars.iter().find(|(tip, _)| tip.contains(place)).unwrap();
    assert_eq!((of("in east").1.as_str(), of("in west").1.as_str()), ("away", "bad"));
    assert!(of("in east").0.contains("100 requests away, 2 failed; not over at 1 proxy"), "{bars:?}");
    assert!(of("in west").0.contains("no healthy endpoint at 1 proxy"), "{bars:?}");
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<std::collections::BTreeSet<_>>().len(), "{ids:?}");
    assert!(page.contains("cart.shop in west: seen by 1 of 2 proxies"));
}

#[test]
fn one_place_is_no_fleet_and_has_no_such_picture() {
    let log = log();
    let one_place: String = log.lines().filter(|line| line.contains("east")).map(|line| format!("{line}\n")).collect();
    let (_, dir) = report(&one_place, &["--html", "page.html"]);
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("Kubernetes cluster"));
}
