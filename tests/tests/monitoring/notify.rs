//! Tests of a notification's path: a real Envoy whose filter posts to a real Alertmanager, which notifies a webhook.
//!
//! The number of scrape intervals that this takes is printed (`--nocapture`). The path through Prometheus is in
//! [`crate::alerts`]; the harness tests what a receiver can do wrong.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::{Bootstrap, Cluster};
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::{Endpoint, Locality};
use lab::monitoring::alertmanager::Alertmanager;
use lab::monitoring::webhook::{Alert, Webhook};
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{HOST, ZONES, Zones, plugin_config};
use serde_json::{Value, json};

const RECEIVER: &str = "outbound|9093||alertmanager.monitoring.svc.cluster.local";
const TO_ZONE: &str = "FaultlineFailoverToAnotherZone";
const NONE_HEALTHY: &str = "FaultlineNoHealthyUpstream";

/// A service in four zones, and an Envoy that notifies a real Alertmanager.
struct Notified {
    // Dropped first, so that Envoy does not see its endpoints disappear.
    envoy: Envoy,
    zones: Zones,
    webhook: Webhook,
    _alertmanager: Alertmanager,
}

impl Notified {
    fn start(rules: &OutlierDetection) -> Result<Self> {
        let (zones, webhook) = (Zones::start()?, Webhook::start()?);
        let alertmanager = Alertmanager::start(webhook.address())?;
        let receiver = Endpoint { address: alertmanager.address(), locality: Locality::new(ZONES[0]) };
        let clusters = vec![zones.cluster(rules.clone()), Cluster::new(RECEIVER, vec![receiver], None)];
        let mut config: Value = serde_json::from_str(&plugin_config(rules))?;
        config["notify"] = json!({ "cluster": RECEIVER, "labels": { "team": "payments" } });
        let bootstrap =
            Bootstrap::new(&Zones::home(), clusters).with_filter(&Tool::Module.path()?, &config.to_string());
        Ok(Self { envoy: Envoy::start(&bootstrap)?, zones, webhook, _alertmanager: alertmanager })
    }

    fn story(&self) -> String {
        let alerts: Vec<String> = self.webhook.alerts().iter().map(Alert::to_string).collect();
        format!("the alerts:\n{}\nthe log ends with:\n{}", alerts.join("\n"), self.envoy.events().tail(30).join("\n"))
    }
}

#[test]
fn a_broken_zone_is_told_without_a_scrape_and_so_is_its_end() -> Result<()> {
    let rules = OutlierDetection { base_ejection_time: Duration::from_secs(5), ..OutlierDetection::first_error() };
    let notified = Notified::start(&rules)?;
    let mut load = notified.envoy.load(HOST, 4)?;
    load.send(40);
    // A scrape each second, as in `alerts.rs`.
    let report = |since: SystemTime, what: &str, alert: &Alert| {
        let waited = alert.arrived.duration_since(since).unwrap_or_default();
        eprintln!("{} scrape intervals ({} ms) after {what}: {alert}", waited.as_secs(), waited.as_millis());
    };
    notified.zones.set(&ZONES[..1], Behaviour::Refuse)?;
    load.until("a failed request", |tally| tally.status(503) > 0)?;
    let failed = SystemTime::now();
    let fired = |name: &'static str| notified.webhook.first(move |alert| alert.fires(name));
    load.until("the failover's alert", |_| fired(TO_ZONE).is_some()).with_context(|| notified.story())?;
    let alert = fired(TO_ZONE).context("the alert")?;
    report(failed, "the first failed request", &alert);
    let labels = ["service", "failover_from", "failover_to", "severity", "team", "proxy"].map(|name| alert.label(name));
    assert_eq!(labels, [HOST, ZONES[0], ZONES[1], "warning", "payments", "mocka.default"]);
    assert_eq!(
        alert.annotation("summary"),
        format!("{HOST}: failover to another zone, from {} to {}", ZONES[0], ZONES[1])
    );

    notified.zones.set(&ZONES[..1], Behaviour::Answer(200))?;
    let over = |name: &'static str| notified.webhook.first(move |alert| alert.is_over(name)).is_some();
    load.until("the failover's end", |_| over(TO_ZONE)).with_context(|| notified.story())?;

    notified.zones.set(&ZONES, Behaviour::Answer(500))?;
    load.until("a failed request", |tally| tally.status(500) + tally.status(503) > 0)?;
    let failed = SystemTime::now();
    // It takes Envoy a while to eject the last endpoint.
    load.until("nothing healthy", |tally| tally.status(503) > 0)?;
    let none_left = SystemTime::now();
    load.until("its alert", |_| fired(NONE_HEALTHY).is_some()).with_context(|| notified.story())?;
    let alert = fired(NONE_HEALTHY).context("the alert")?;
    report(failed, "the first failed request", &alert);
    report(none_left, "the first that found nothing healthy", &alert);
    notified.zones.set(&ZONES, Behaviour::Answer(200))?;
    load.until("its end", |_| over(NONE_HEALTHY)).with_context(|| notified.story())?;

    eventually("every message delivered, and counted", || {
        let metrics = notified.envoy.metrics()?;
        let count = |result| metrics.sum("faultline_notifications_total", &[("result", result)]);
        let messages = notified.webhook.alerts().len() as f64;
        Ok((count("ok") >= messages && count("failed") == 0.0 && count("dropped") == 0.0).then_some(()))
    })
}
