//! Tests of the filter's reports about an outage, its repair, and health, in a real Envoy with two workers.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::{Bootstrap, Retries};
use lab::envoy::events::Event;
use lab::envoy::metrics::Metrics;
use lab::envoy::outlier::{Action, OutlierDetection, Record};
use lab::envoy::proxy::Envoy;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones, plugin_config};

/// The zones, an Envoy in the first of them with the filter, and connections on both of its workers.
struct Mesh {
    // Dropped first, so that Envoy does not see its endpoints disappear.
    envoy: Envoy,
    load: Load,
    zones: Zones,
}

impl Mesh {
    fn start(rules: &OutlierDetection, retries: Option<Retries>) -> Result<Self> {
        let zones = Zones::start()?;
        let mut bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules.clone())])
            .with_filter(&Tool::Module.path()?, &plugin_config(rules));
        bootstrap.retries = retries;
        let envoy = Envoy::start(&bootstrap)?;
        let load = envoy.load(HOST, 4)?;
        Ok(Self { envoy, load, zones })
    }

    fn endpoint(&self, zone: &str) -> Result<String> {
        Ok(self.zones.at(zone)?.address().to_string())
    }

    /// Makes one request to the caller's own zone fail. The zone is then healthy again at once, but stays ejected for
    /// its time.
    fn fail_once_at_home(&mut self) -> Result<()> {
        self.zones.at(ZONES[0])?.set(Behaviour::Refuse)?;
        self.load.until("an error", |t| t.status(503) > 0)?;
        self.zones.at(ZONES[0])?.set(Behaviour::Answer(200))
    }

    /// Sends requests until an event of this name has occurred, and returns the first.
    fn until(&mut self, name: &str) -> Result<Event> {
        let events = self.envoy.events();
        self.load.until(name, |_| events.any(|e| e.name() == name)).with_context(|| listed(&events.all()))?;
        events.wait_for(name, |e| e.name() == name)
    }

    fn names(&self) -> Vec<String> {
        self.envoy.events().all().iter().map(|e| e.name().to_owned()).collect()
    }
}

fn listed(events: &[Event]) -> String {
    let lines: Vec<String> = events.iter().map(Event::to_string).collect();
    format!("the events that came:\n{}", lines.join("\n"))
}

fn first_error_for_good() -> OutlierDetection {
    OutlierDetection { base_ejection_time: Duration::from_secs(300), ..OutlierDetection::first_error() }
}

#[test]
fn an_outage_and_its_repair_are_told_once_and_in_order() -> Result<()> {
    let mut mesh = Mesh::start(&OutlierDetection::first_error(), None)?;
    let home = mesh.endpoint(ZONES[0])?;
    mesh.load.send(40);
    mesh.fail_once_at_home()?;
    mesh.load.until("the next zone serves", |t| t.from(ZONES[1]) > 0)?;
    mesh.until("failover_ended")?;

    let events = mesh.envoy.events().all();
    for event in &events {
        assert_eq!(event.text("cluster"), CLUSTER, "{event}");
        assert_eq!(event.number("v"), Some(1.0), "{event}");
        assert_eq!(event.text("ts").len(), "2026-01-01T00:00:00.000Z".len(), "{event}");
    }
    let once = |name: &str| {
        let mut of_name = events.iter().filter(|e| e.name() == name);
        let first = of_name.next().unwrap_or_else(|| panic!("no {name}; {}", listed(&events)));
        assert_eq!(of_name.next(), None, "{name} came twice; {}", listed(&events));
        first
    };

    let streak = once("error_streak");
    assert!(streak.is("error_streak", &home), "{streak}");
    assert_eq!((streak.text("locality"), streak.text("kind")), (ZONES[0], "local_origin"));
    assert_eq!((streak.number("streak"), streak.number("threshold")), (Some(1.0), Some(1.0)));

    let ejected = once("endpoint_ejected");
    assert!(ejected.is("endpoint_ejected", &home), "{ejected}");
    assert_eq!(ejected.text("reason"), "consecutive_local_origin_failure");
    assert_eq!((ejected.number("ejection"), ejected.text("locality")), (Some(1.0), ZONES[0]));

    let started = once("failover_started");
    assert_eq!((started.text("from"), started.text("to")), (ZONES[0], ZONES[1]));

    let returned = once("endpoint_returned");
    assert!(returned.is("endpoint_returned", &home), "{returned}");
    assert!(returned.number("ejected_seconds") >= Some(3.0), "{returned}");

    let ended = once("failover_ended");
    assert_eq!((ended.text("from"), ended.text("to")), (ZONES[0], ZONES[1]));
    assert_eq!((ended.text("because"), ended.number("errors_away")), ("recovered", Some(0.0)));
    // All requests that the next zone served, except those just before the failover was noticed.
    let served = mesh.load.total.from(ZONES[1]) as f64;
    assert!(ended.number("requests_away").is_some_and(|n| n <= served && n > served / 2.0), "{served} served: {ended}");

    let order = ["error_streak", "endpoint_ejected", "failover_started", "endpoint_returned", "failover_ended"];
    assert_eq!(mesh.names(), order, "nothing else came, and in this order");

    let records = mesh.envoy.wait_for_records("Envoy's own record", |r| r.len() == 2)?;
    let of_envoy: Vec<(Action, &str)> = records.iter().map(|r: &Record| (r.action, r.endpoint.as_str())).collect();
    assert_eq!(of_envoy, [(Action::Eject, home.as_str()), (Action::Return, home.as_str())]);
    Ok(())
}

#[test]
fn a_streak_is_counted_across_workers() -> Result<()> {
    let rules = OutlierDetection { consecutive_5xx_errors: 4, ..first_error_for_good() };
    let mut mesh = Mesh::start(&rules, None)?;
    mesh.zones.at(ZONES[0])?.set(Behaviour::Answer(500))?;
    // One request on each connection, so two on each worker.
    assert_eq!(mesh.load.send(3).status(500), 3);
    assert_eq!(mesh.load.send(1).status(500), 1);
    let streak = mesh.until("error_streak")?;
    assert_eq!((streak.text("kind"), streak.number("streak")), ("5xx", Some(4.0)), "{streak}");
    assert_eq!(streak.fields["last"]["code"], 500, "{streak}");
    let ejected = mesh.until("endpoint_ejected")?;
    assert_eq!(ejected.text("reason"), "consecutive_5xx", "{ejected}");
    let records = mesh.envoy.wait_for_records("Envoy's own record", |r| !r.is_empty())?;
    assert_eq!(records[0].endpoint, ejected.text("endpoint"));
    Ok(())
}

#[test]
fn healthy_traffic_and_client_errors_tell_nothing() -> Result<()> {
    let mut mesh = Mesh::start(&OutlierDetection::first_error(), None)?;
    assert_eq!(mesh.load.send(200).from(ZONES[0]), 200);
    mesh.zones.at(ZONES[0])?.set(Behaviour::Answer(404))?;
    assert_eq!(mesh.load.send(200).status(404), 200);
    // The counts have been shared by now, so an event would have been logged too.
    let labels = [("upstream_cluster", CLUSTER), ("upstream_locality", ZONES[0]), ("outcome", "success")];
    wait_for_metrics(&mesh.envoy, |m| m.sum("faultline_attempts_total", &labels) == 400.0)?;
    assert_eq!(mesh.names(), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_second_outage_moves_the_failover_on() -> Result<()> {
    let mut mesh = Mesh::start(&first_error_for_good(), None)?;
    mesh.load.send(20);
    mesh.zones.at(ZONES[0])?.set(Behaviour::Refuse)?;
    mesh.until("failover_started")?;
    mesh.zones.at(ZONES[1])?.set(Behaviour::Refuse)?;
    let changed = mesh.until("failover_changed")?;
    assert_eq!(changed.text("from"), ZONES[0], "{changed}");
    assert!(ZONES[2..].contains(&changed.text("to")), "{changed}");
    Ok(())
}

#[test]
fn no_healthy_endpoint_and_the_recovery_are_told_once() -> Result<()> {
    let mut mesh = Mesh::start(&OutlierDetection::first_error(), None)?;
    mesh.load.send(20);
    for zone in ZONES {
        mesh.zones.at(zone)?.set(Behaviour::Answer(500))?;
    }
    let none = mesh.until("no_healthy_upstream")?;
    assert_eq!((none.text("cluster"), none.number("endpoints")), (CLUSTER, Some(4.0)), "{none}");
    for zone in ZONES {
        mesh.zones.at(zone)?.set(Behaviour::Answer(200))?;
    }
    let recovered = mesh.until("upstream_recovered")?;
    assert!(recovered.number("seconds").is_some(), "{recovered}");
    mesh.load.send(50);
    let names = mesh.names();
    for name in ["no_healthy_upstream", "upstream_recovered"] {
        assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name}: {names:?}");
    }
    Ok(())
}

#[test]
fn metrics_carry_their_labels_under_istios_tag_rules() -> Result<()> {
    let mut mesh = Mesh::start(&first_error_for_good(), None)?;
    mesh.load.send(40);
    mesh.fail_once_at_home()?;
    mesh.until("failover_started")?;
    let sent = mesh.load.total.clone();

    let of_cluster = [("upstream_cluster", CLUSTER)];
    let home = [of_cluster[0], ("upstream_locality", ZONES[0])];
    let away = [of_cluster[0], ("failover_from", ZONES[0]), ("failover_to", ZONES[1])];
    let all_sent = |m: &Metrics| m.sum("faultline_attempts_total", &of_cluster) == sent.total() as f64;
    let metrics = wait_for_metrics(&mesh.envoy, all_sent)?;

    let outcome = |zone: &str, outcome: &str| {
        let labels = [of_cluster[0], ("upstream_locality", zone), ("outcome", outcome)];
        metrics.sum("faultline_attempts_total", &labels)
    };
    assert_eq!(outcome(ZONES[0], "success"), sent.from(ZONES[0]) as f64);
    assert_eq!(outcome(ZONES[1], "success"), sent.from(ZONES[1]) as f64);
    assert_eq!(outcome(ZONES[0], "local_origin"), 1.0);

    let streak = [home[0], home[1], ("streak_kind", "local_origin")];
    assert_eq!(metrics.sum("faultline_error_streaks_total", &streak), 1.0);
    let ejection = [home[0], home[1], ("eject_reason", "consecutive_local_origin_failure"), ("basis", "inferred")];
    assert_eq!(metrics.sum("faultline_ejections_total", &ejection), 1.0);
    assert_eq!(metrics.sum("faultline_ejected_endpoints", &home), 1.0);
    assert_eq!(metrics.sum("faultline_failovers_total", &away), 1.0);
    assert_eq!(metrics.sum("faultline_failover_active", &away), 1.0);
    assert_eq!(metrics.matching("faultline_build_info", &[]).filter(|s| s.labels.contains_key("version")).count(), 1);

    let leaked: Vec<_> = metrics.0.iter().filter(|s| s.name.contains("faultline") && s.name.contains("___")).collect();
    assert!(leaked.is_empty(), "labels left in names: {leaked:?}");
    Ok(())
}

#[test]
fn a_retried_request_is_counted_where_its_failed_attempt_cannot_be_seen() -> Result<()> {
    let mut mesh = Mesh::start(&first_error_for_good(), Some(Retries::istio_default()))?;
    mesh.load.send(20);
    mesh.zones.at(ZONES[0])?.set(Behaviour::Refuse)?;
    mesh.load.until("the next zone serves", |t| t.from(ZONES[1]) > 0)?;
    let labels = [("upstream_cluster", CLUSTER)];
    wait_for_metrics(&mesh.envoy, |m| m.sum("faultline_retried_requests_total", &labels) >= 1.0)?;
    Ok(())
}

fn wait_for_metrics(envoy: &Envoy, done: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
    eventually("the metrics", || Ok(Some(envoy.metrics()?).filter(&done))).with_context(|| {
        let ours = envoy.admin("/stats/prometheus?filter=faultline").unwrap_or_default();
        format!("the filter's metrics:\n{ours}\n{}", listed(&envoy.events().all()))
    })
}
