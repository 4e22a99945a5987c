//! Tests of the shipped dashboard, queried as by Grafana: while a service fails, every query of it, with its variables
//! filled in, is sent to a real Prometheus, and each must return something.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::{Bootstrap, Retries};
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::monitoring::prometheus::Prometheus;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones, plugin_config};
use serde_json::Value;

/// Panels whose value is correctly 0 in this outage.
const QUIET: [&str; 3] =
    ["panel `Ejections blocked in the time shown`", "panel `Configurations rejected`", "panel `Lost to limits`"];

fn dashboard() -> Result<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/faultline.json");
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Every query, with the panel or annotation that contains it.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let of = |what: &str, query: &Value| Some((what.to_owned(), query["expr"].as_str()?.to_owned()));
    let panels = list(dashboard, "/panels").iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default();
        list(panel, "/targets").iter().filter_map(move |target| of(&format!("panel `{title}`"), target))
    });
    // hot-switch's row has metrics of its own, whose queries are in the tests of its rules.
    let panels = panels.filter(|(_, query)| !query.contains("faultline_hotswitch_"));
    let annotations = list(dashboard, "/annotations/list").iter();
    panels.chain(annotations.filter_map(|query| of("annotation", query))).collect()
}

/// The query that Grafana sends when one cluster and all localities are selected: Grafana escapes the special
/// characters of regular expressions.
fn filled_in(query: &str) -> String {
    let cluster = CLUSTER.replace('|', r"\\|").replace('.', r"\\.");
    let values = [
        ("$cluster", cluster.as_str()),
        ("$locality", ".*"),
        ("$__rate_interval", "10s"),
        ("$__interval", "10s"),
        ("$__range", "5m"),
    ];
    values.iter().fold(query.to_owned(), |query, (variable, value)| query.replace(variable, value))
}

fn is_above_zero(sample: &Value) -> bool {
    sample["value"][1].as_str().and_then(|value| value.parse().ok()).is_some_and(|value: f64| value > 0.0)
}

#[test]
fn every_query_shows_something_while_a_service_fails() -> Result<()> {
    let dashboard = dashboard()?;
    let mut waiting: Vec<_> = queries(&dashboard).into_iter().map(|(at, query)| (at, filled_in(&query))).collect();
    assert!(waiting.len() > 20, "{} queries", waiting.len());
    let unknown: Vec<_> = waiting.iter().filter(|(_, query)| query.contains('$')).collect();
    assert!(unknown.is_empty(), "variables that this test does not know: {unknown:?}");

    let rules = OutlierDetection::first_error();
    let zones = Zones::start()?;
    let mut config: Value = serde_json::from_str(&plugin_config(&rules))?;
    config["witness"] = serde_json::json!({});
    let mut bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules)])
        .with_filter(&Tool::Module.path()?, &config.to_string());
    bootstrap.retries = Some(Retries::istio_default());
    let envoy = Envoy::start(&bootstrap)?;
    let prometheus = Prometheus::start(envoy.admin_address(), None)?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);

    let mut failed = Ok(());
    // First the nearest zone cannot be reached, which retries hide. Then all zones answer with errors, which retries do
    // not hide. Then all are healthy, because a failover's duration is known at its end.
    let phases: [(&[&str], Behaviour); 3] =
        [(&ZONES[..1], Behaviour::Refuse), (&ZONES, Behaviour::Answer(500)), (&ZONES, Behaviour::Answer(200))];
    for (index, (broken, behaviour)) in phases.iter().enumerate() {
        broken.iter().try_for_each(|zone| zones.at(zone)?.set(*behaviour))?;
        let event = ["failover_started", "no_healthy_upstream", "failover_ended"][index];
        let events = envoy.events();
        load.until(event, |_| events.any(|e| e.name() == event))?;
        // After two more scrapes, Prometheus has the values of this time.
        let scrapes = || prometheus.number("count_over_time(up[10m])", None);
        let before = eventually("a scrape", scrapes)?;
        load.until("two more scrapes", |_| scrapes().ok().flatten() >= Some(before + 2.0))?;
        waiting.retain(|(at, query)| match prometheus.query(query, None) {
            Ok(result) => !result.iter().any(|sample| QUIET.contains(&at.as_str()) || is_above_zero(sample)),
            Err(error) => {
                failed = Err(error.context(at.clone()));
                true
            }
        });
    }
    failed?;
    ensure!(
        waiting.is_empty(),
        "nothing to show: {waiting:#?}\n{}",
        envoy.admin("/stats/prometheus?filter=faultline")?
    );

    for variable in list(&dashboard, "/templating/list").iter().filter(|v| v["type"] == "query") {
        let query = filled_in(variable["query"]["query"].as_str().context("a variable without a query")?);
        let parts = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "));
        let (selector, label) = parts.with_context(|| format!("{query} is no label_values"))?;
        let values = prometheus.label_values(selector, label)?;
        assert!(values.iter().any(|value| value == CLUSTER || value == ZONES[0]), "{query}: {values:?}");
    }
    Ok(())
}
