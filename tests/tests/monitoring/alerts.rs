//! Tests of the shipped alerts, from a broken zone to the on-call person's pager: with a real Envoy, Prometheus and
//! Alertmanager, and a webhook.
//!
//! The rules run [`FASTER`] times as fast as an operator's, with a scrape each second, so numbers of scrapes hold for
//! an operator too. The number of scrapes between the first failed request and each alert's arrival is printed
//! (`--nocapture`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::monitoring::alertmanager::Alertmanager;
use lab::monitoring::prometheus::{FASTER, JOB, Prometheus, quickened, shipped_rules};
use lab::monitoring::webhook::{Alert, Webhook};
use lab::net::load::Load;
use lab::programs::run::stdout_of;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones, plugin_config};

const EJECTED: &str = "FaultlineEndpointEjected";
const SHARE_EJECTED: &str = "FaultlineClusterShareEjected";
const TO_ZONE: &str = "FaultlineFailoverToAnotherZone";
const TO_REGION: &str = "FaultlineFailoverToAnotherRegion";
const NONE_HEALTHY: &str = "FaultlineNoHealthyUpstream";

/// A service in four zones, a caller in the first, and an operator's whole monitoring.
struct Watched {
    // Dropped first, so that Envoy does not see its endpoints disappear.
    envoy: Envoy,
    load: Load,
    zones: Zones,
    prometheus: Prometheus,
    webhook: Webhook,
    // Never used: it only notifies the webhook.
    _alertmanager: Alertmanager,
}

impl Watched {
    fn start(rules: &OutlierDetection) -> Result<Self> {
        let zones = Zones::start()?;
        let bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules.clone())])
            .with_filter(&Tool::Module.path()?, &plugin_config(rules));
        let envoy = Envoy::start(&bootstrap)?;
        let webhook = Webhook::start()?;
        let alertmanager = Alertmanager::start(webhook.address())?;
        let prometheus = Prometheus::start(envoy.admin_address(), Some(alertmanager.address()))?;
        let mut load = envoy.load(HOST, 4)?;
        load.send(40);
        // Prometheus has the filter's metrics, but none of the counters that the outage creates.
        let known = format!("faultline_attempts_total{{job=\"{JOB}\",upstream_locality=\"{}\"}}", ZONES[0]);
        eventually("Prometheus knows the filter", || prometheus.number(&known, None))?;
        Ok(Self { envoy, load, zones, prometheus, webhook, _alertmanager: alertmanager })
    }

    /// Gives the endpoints of `zones` a behaviour.
    fn set(&self, zones: &[&str], behaviour: Behaviour) -> Result<()> {
        zones.iter().try_for_each(|zone| self.zones.at(zone)?.set(behaviour))
    }

    /// Sends requests until one fails, and returns the time of the failure.
    fn first_failure(&mut self) -> Result<SystemTime> {
        self.load.until("a failed request", |tally| tally.status(503) + tally.status(500) > 0)?;
        Ok(SystemTime::now())
    }

    /// Sends requests until an alert that satisfies `wanted` has arrived, and returns the first.
    fn until(&mut self, what: &str, wanted: impl Fn(&Alert) -> bool) -> Result<Alert> {
        let webhook = &self.webhook;
        let waited = self.load.until(what, |_| webhook.first(&wanted).is_some());
        waited.with_context(|| self.story())?;
        self.webhook.first(&wanted).with_context(|| format!("{what} is gone"))
    }

    /// Sends requests until each alert that fired is resolved.
    fn until_all_is_over(&mut self) -> Result<()> {
        let webhook = &self.webhook;
        let over = || {
            let alerts = webhook.alerts();
            alerts.iter().filter(|alert| alert.fields["status"] == "firing").all(|fired| {
                let same = |alert: &&Alert| alert.fields["fingerprint"] == fired.fields["fingerprint"];
                alerts.iter().rev().find(same).is_some_and(|last| last.fields["status"] == "resolved")
            })
        };
        let waited = self.load.until("the end of all alerts", |_| over());
        waited.map(drop).with_context(|| self.story())
    }

    /// How often Prometheus scraped Envoy between two times.
    fn scrapes(&self, from: SystemTime, to: SystemTime) -> Result<f64> {
        let range = to.duration_since(from)?.as_millis().max(1);
        let query = format!("count_over_time(up{{job=\"{JOB}\"}}[{range}ms])");
        let at = to.duration_since(UNIX_EPOCH)?.as_secs_f64();
        self.prometheus.number(&query, Some(at))?.context("Prometheus scraped nothing")
    }

    /// Envoy's own figures agree with the filter's where the rules compare them.
    fn check_against_envoy(&self) -> Result<()> {
        let number = |query: &str| self.prometheus.number(query, None);
        eventually("Envoy's count of ejections and the filter's, alike", || {
            let differences =
                "sum without (upstream_locality) (proxy:faultline_ejections:new30m) - proxy:envoy_ejections:new30m";
            let seen = number("sum(proxy:faultline_ejections:new30m)")? > Some(0.0);
            Ok(number(differences)?.filter(|difference| seen && *difference == 0.0))
        })?;
        // What the rules join by the cluster's name, whichever of the two labels has it.
        for figure in ["envoy_cluster_membership_total", "envoy_cluster_upstream_rq_total"] {
            let joined = ["envoy_cluster_name", "cluster_name"].map(|label| {
                let ours = format!(
                    "label_replace(faultline_attempts_total, \"{label}\", \"$1\", \"upstream_cluster\", \"(.+)\")"
                );
                format!("{figure}{{{label}!=\"\"}} and on (cluster, job, instance, {label}) {ours}")
            });
            let query = format!("count({})", joined.join(" or "));
            number(&query)?.with_context(|| format!("nothing for {query}"))?;
        }
        Ok(())
    }

    fn report(&self, failed: SystemTime, alert: &Alert) -> Result<()> {
        let scrapes = self.scrapes(failed, alert.arrived)?;
        let seconds = alert.arrived.duration_since(failed)?.as_secs_f64();
        eprintln!("{scrapes} scrapes ({seconds:.1} s) after the first failed request: {alert}");
        Ok(())
    }

    fn story(&self) -> String {
        let alerts: Vec<String> = self.webhook.alerts().iter().map(Alert::to_string).collect();
        let events: Vec<String> = self.envoy.events().all().iter().map(ToString::to_string).collect();
        format!("the alerts that came:\n{}\nthe events:\n{}", alerts.join("\n"), events.join("\n"))
    }

    /// No alerts have fired except those in `explained`, and none said that the filter is silent or wrong.
    fn check_only(&self, explained: &[&str]) -> Result<()> {
        let alerts = self.webhook.alerts();
        let others = alerts.iter().filter(|alert| !explained.contains(&alert.label("alertname"))).count();
        ensure!(others == 0, "{others} alerts that nothing explains; {}", self.story());
        Ok(())
    }
}

fn rules(base_ejection_time: u64) -> OutlierDetection {
    OutlierDetection { base_ejection_time: Duration::from_secs(base_ejection_time), ..OutlierDetection::first_error() }
}

/// The share in an alert's summary, in percent.
fn share(alert: &Alert) -> Result<f64> {
    let summary = alert.annotation("summary");
    let (_, share) = summary.rsplit_once("with ").with_context(|| format!("no share in `{summary}`"))?;
    let (percent, _) = share.split_once('%').with_context(|| format!("no percentage in `{summary}`"))?;
    percent.parse().with_context(|| format!("no number in `{summary}`"))
}

#[test]
fn a_broken_zone_is_told_with_its_service_from_to_and_share_and_its_repair_ends_the_alert() -> Result<()> {
    // Long enough that the alert arrives within the first ejection, so that nothing flaps.
    let mut mesh = Watched::start(&rules(20))?;
    mesh.set(&ZONES[..1], Behaviour::Refuse)?;
    let failed = mesh.first_failure()?;
    let failover = mesh.until("the failover's alert", |alert| alert.fires(TO_ZONE))?;
    let ejected = mesh.until("the ejection's alert", |alert| alert.fires(EJECTED))?;

    for alert in [&failover, &ejected] {
        assert_eq!((alert.label("service"), alert.label("upstream_cluster")), (HOST, CLUSTER), "{alert}");
        assert_eq!(alert.label("severity"), "warning", "{alert}");
        let page = format!("/runbooks/{}.md", alert.label("alertname"));
        assert!(alert.annotation("runbook_url").ends_with(&page), "{alert}");
        let proxy = mesh.envoy.admin_address().to_string();
        assert!(alert.annotation("description").contains(&proxy), "{proxy}: {}", alert.fields);
    }
    assert_eq!((failover.label("failover_from"), failover.label("failover_to")), (ZONES[0], ZONES[1]));
    let begins = format!("{HOST}: failover to another zone, from {} to {}, with ", ZONES[0], ZONES[1]);
    assert!(failover.annotation("summary").starts_with(&begins), "{failover}");
    let share = share(&failover)?;
    assert!(share > 0.0 && share <= 100.0, "{failover}");
    assert_eq!(ejected.label("upstream_locality"), ZONES[0]);
    assert_eq!(ejected.annotation("summary"), format!("{HOST}: 1 endpoint(s) ejected in {}", ZONES[0]));

    mesh.set(&ZONES[..1], Behaviour::Answer(200))?;
    mesh.until("the failover's end", |alert| alert.is_over(TO_ZONE))?;
    mesh.until("the ejection's end", |alert| alert.is_over(EJECTED))?;
    mesh.until_all_is_over()?;
    mesh.check_only(&[TO_ZONE, EJECTED])?;
    mesh.check_against_envoy()?;
    for alert in [&failover, &ejected] {
        mesh.report(failed, alert)?;
    }
    Ok(())
}

#[test]
fn a_broken_region_then_a_broken_service_are_told_and_so_is_their_end() -> Result<()> {
    let mut mesh = Watched::start(&rules(10))?;
    mesh.set(&ZONES[..2], Behaviour::Refuse)?;
    let failed = mesh.first_failure()?;
    let failover = mesh.until("the failover's alert", |alert| alert.fires(TO_REGION))?;
    assert_eq!((failover.label("service"), failover.label("severity")), (HOST, "critical"));
    assert_eq!((failover.label("failover_from"), failover.label("region")), (ZONES[0], "ap-northeast-1"));
    assert!(ZONES[2..].contains(&failover.label("failover_to")), "{failover}");
    let share_outside = share(&failover)?;
    assert!(share_outside > 0.0 && share_outside <= 100.0, "{failover}");
    let share_ejected = mesh.until("half of the cluster's alert", |alert| alert.fires(SHARE_EJECTED))?;
    assert!(share_ejected.annotation("summary").contains("50%"), "{share_ejected}");
    for alert in [&failover, &share_ejected] {
        mesh.report(failed, alert)?;
    }

    // The counter for this alert does not exist before, and is then 1.
    mesh.set(&ZONES, Behaviour::Answer(500))?;
    let failed = mesh.first_failure()?;
    let none = mesh.until("the alert of no healthy endpoint", |alert| alert.fires(NONE_HEALTHY))?;
    assert_eq!((none.label("service"), none.label("severity")), (HOST, "critical"));
    mesh.report(failed, &none)?;

    mesh.set(&ZONES, Behaviour::Answer(200))?;
    for name in [TO_REGION, SHARE_EJECTED, NONE_HEALTHY] {
        mesh.until("an alert's end", |alert| alert.is_over(name))?;
    }
    mesh.until_all_is_over()?;
    // An endpoint that is broken for longer than an ejection lasts is ejected again and again.
    mesh.check_only(&[EJECTED, SHARE_EJECTED, TO_ZONE, TO_REGION, NONE_HEALTHY, "FaultlineFlapping"])
}

#[test]
fn the_rules_do_what_their_own_tests_say() -> Result<()> {
    let promtool = Tool::Promtool.path()?;
    let tests = shipped_rules().with_file_name("faultline.test.yaml");
    stdout_of(Command::new(&promtool).args(["check", "rules"]).arg(shipped_rules()), "")?;
    stdout_of(Command::new(&promtool).args(["test", "rules"]).arg(tests), "")?;
    let of_hot_switch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/hot-switch/hot-switch.test.yaml");
    stdout_of(Command::new(&promtool).args(["test", "rules"]).arg(of_hot_switch), "")?;
    Ok(())
}

#[test]
fn the_quick_rules_are_rules_and_quick() -> Result<()> {
    let shipped = std::fs::read_to_string(shipped_rules())?;
    let quick = quickened(&shipped);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rules.yaml");
    std::fs::write(&file, &quick)?;
    stdout_of(Command::new(Tool::Promtool.path()?).args(["check", "rules"]).arg(&file), "")?;
    let quick_interval = format!("interval: {}ms", 15_000 / FASTER);
    assert!(shipped.contains("interval: 15s") && quick.contains(&quick_interval));
    assert!(shipped.contains("interval: 1m") && quick.contains(&format!("interval: {}ms", 60_000 / FASTER)));
    Ok(())
}
