//! Tests of every kind of wrong configuration in a real Envoy: it is reported, traffic continues, and the previous
//! configuration stays in force.

use anyhow::Result;
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{HOST, ZONES, Zones, plugin_config};
use serde_json::json;

fn rules() -> OutlierDetection {
    OutlierDetection { consecutive_5xx_errors: 2, ..OutlierDetection::first_error() }
}

fn envoy_with(zones: &Zones, config: &str) -> Result<(Envoy, Load)> {
    let bootstrap =
        Bootstrap::new(&Zones::home(), vec![zones.cluster(rules())]).with_filter(&Tool::Module.path()?, config);
    let envoy = Envoy::start(&bootstrap)?;
    let load = envoy.load(HOST, 4)?;
    Ok((envoy, load))
}

/// What is wrong, the configuration's text, and what the report must mention.
fn wrong() -> Vec<(&'static str, String, &'static str)> {
    let detection = |key: &str, value: serde_json::Value| json!({ "outlierDetection": { key: value } }).to_string();
    vec![
        ("a wrong type", detection("consecutive5xxErrors", json!("five")), "outlierDetection.consecutive5xxErrors"),
        ("an absurd value", detection("maxEjectionPercent", json!(900)), "outlierDetection.maxEjectionPercent"),
        ("an absurd time", detection("interval", json!("-3 weeks")), "outlierDetection.interval"),
        ("no object", "[]".to_owned(), ""),
        ("not JSON", "outlierDetection:\n  interval: 1s\n".to_owned(), ""),
        ("1 MiB", json!({ "logLevel": "x".repeat(1024 * 1024) }).to_string(), ""),
    ]
}

#[test]
fn a_wrong_configuration_at_the_start_is_reported_once_and_traffic_flows() -> Result<()> {
    for (what, config, names) in wrong() {
        let zones = Zones::start()?;
        let (envoy, mut load) = envoy_with(&zones, &config)?;
        assert_eq!(load.send(20).status(200), 20, "{what}");
        let rejected = envoy.events().wait_for(what, |e| e.name() == "config_rejected")?;
        assert!(!rejected.text("error").is_empty(), "{what}: {rejected}");
        assert!(rejected.text("error").contains(names), "{what}: {rejected}");
        assert!(rejected.to_string().len() < 2000, "{what}: the report repeats the configuration");
        eventually("the count of rejections", || {
            let metrics = envoy.metrics()?;
            Ok((metrics.sum("faultline_config_rejected_total", &[]) > 0.0).then_some(()))
        })?;
        assert_eq!(load.send(20).status(200), 20, "{what}");
        assert_eq!(envoy.events().all().len(), 1, "{what}: {:?}", envoy.events().all());
    }
    Ok(())
}

#[test]
fn after_a_wrong_configuration_the_last_good_one_stays() -> Result<()> {
    let zones = Zones::start()?;
    let (mut envoy, mut load) = envoy_with(&zones, &plugin_config(&rules()))?;
    assert_eq!(load.send(20).status(200), 20);
    for (what, config, _) in wrong() {
        let before = envoy.events().all().len();
        envoy.reconfigure(&config)?;
        eventually(what, || Ok((envoy.events().all().len() > before).then_some(())))?;
        assert_eq!(load.send(20).status(200), 20, "{what}");
    }
    zones.at(ZONES[0])?.set(Behaviour::Answer(500))?;
    assert_eq!(load.send(2).status(500), 2);
    let streak = envoy.events().wait_for("the streak", |e| e.name() == "error_streak")?;
    assert_eq!(streak.number("threshold"), Some(2.0), "the good configuration's threshold: {streak}");
    Ok(())
}

#[test]
fn nothing_and_unknown_fields_are_no_reason_to_reject() -> Result<()> {
    for config in ["", "{}", r#"{"noSuchField": {"a": [1]}, "outlierDetection": {"consecutive5xxErrors": 2}}"#] {
        let zones = Zones::start()?;
        let (envoy, mut load) = envoy_with(&zones, config)?;
        assert_eq!(load.send(20).status(200), 20, "{config}");
        // By then the module runs and has logged its reports.
        eventually("the module's metrics", || {
            let running = envoy.metrics()?.matching("faultline_build_info", &[]).next().is_some();
            Ok(running.then_some(()))
        })?;
        assert_eq!(envoy.events().all(), [], "{config}");
        if config.contains("noSuchField") {
            envoy.events().wait_for_line("noSuchField")?;
        }
    }
    Ok(())
}
