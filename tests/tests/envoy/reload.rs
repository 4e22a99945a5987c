//! Tests of a new configuration and a new module during an outage, in a real Envoy: no event is lost, none is repeated,
//! and the gauges are right at the end.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::events::Event;
use lab::envoy::outlier::{Action, OutlierDetection};
use lab::envoy::proxy::Envoy;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{HOST, ZONES, Zones, plugin_config};
use serde_json::{Value, json};

/// The module with one more section, which has no meaning: different bytes, and so a different VM.
fn other_module(dir: &tempfile::TempDir) -> Result<std::path::PathBuf> {
    let mut bytes = std::fs::read(Tool::Module.path()?)?;
    // A custom section of five bytes, with the name "more".
    bytes.extend([0, 5, 4]);
    bytes.extend(b"more");
    let path = dir.path().join("other.wasm");
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// The events in order of `ts`: workers write their lines independently.
fn told(mut events: Vec<Event>) -> Vec<String> {
    events.sort_by_cached_key(|event| event.text("ts").to_owned());
    events.iter().map(|event| format!("{} {}", event.name(), event.text("endpoint")).trim_end().to_owned()).collect()
}

fn reload_in_mid_outage(witness: bool) -> Result<()> {
    // Long enough for both reloads to happen within the first ejection.
    let rules = OutlierDetection { base_ejection_time: Duration::from_secs(6), ..OutlierDetection::first_error() };
    let config = |version: &str| -> Result<String> {
        let mut config: Value = serde_json::from_str(&plugin_config(&rules))?;
        config["clusters"] = json!([{ "match": version, "ignore": true }]);
        if witness {
            config["witness"] = json!({});
        }
        Ok(config.to_string())
    };
    let zones = Zones::start()?;
    let bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules.clone())])
        .with_filter(&Tool::Module.path()?, &config("first")?);
    let mut envoy = Envoy::start(&bootstrap)?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    let home = zones.at(ZONES[0])?.address().to_string();
    zones.at(ZONES[0])?.set(Behaviour::Refuse)?;
    load.until("the failover", |_| envoy.events().any(|e| e.name() == "failover_started"))?;

    envoy.reconfigure(&config("second")?)?;
    load.send(40);
    assert_eq!(envoy.metrics()?.sum("faultline_ejections_total", &[]), 1.0, "counts outlive a configuration");
    let dir = tempfile::tempdir()?;
    envoy.replace_module(&other_module(&dir)?)?;
    load.send(40);
    assert_eq!(envoy.ejected(lab::zones::CLUSTER)?, [home.as_str()], "both reloads came within the ejection");

    zones.at(ZONES[0])?.set(Behaviour::Answer(200))?;
    load.until("the end of the failover", |_| envoy.events().any(|e| e.name() == "failover_ended"))
        .with_context(|| format!("{:#?}", told(envoy.events().all())))?;
    let expected = [
        format!("error_streak {home}"),
        format!("endpoint_ejected {home}"),
        "failover_started".to_owned(),
        format!("endpoint_returned {home}"),
        "failover_ended".to_owned(),
    ];
    assert_eq!(told(envoy.events().all()), expected);
    let records = envoy.wait_for_records("both records", |records| records.len() >= 2)?;
    let actions: Vec<Action> = records.iter().map(|record| record.action).collect();
    assert_eq!(actions, [Action::Eject, Action::Return]);
    // Envoy starts the counters of a new module at 0; gauges show the present state.
    for gauge in ["faultline_ejected_endpoints", "faultline_open_findings", "faultline_failover_active"] {
        eventually(&format!("{gauge} is 0"), || Ok((envoy.metrics()?.sum(gauge, &[]) == 0.0).then_some(())))?;
    }
    Ok(())
}

#[test]
fn reloads_in_mid_outage_neither_lose_nor_repeat_an_event() -> Result<()> {
    reload_in_mid_outage(false)
}

#[test]
fn nor_do_they_with_the_witness() -> Result<()> {
    reload_in_mid_outage(true)
}
