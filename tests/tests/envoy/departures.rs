//! Tests of failovers without a failed request: the control plane or a health check calls home unhealthy, or takes its
//! endpoints away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::events::Event;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};
use serde_json::{Value, json};

use crate::decided::listed;

const HOME: &str = ZONES[0];
const NEAR: &str = ZONES[1];

/// An Envoy whose cluster has two endpoints at home and one in the next zone, by discovery.
fn start(zones: &Zones, health_checks: Option<Value>) -> Result<(Envoy, Load)> {
    let config = json!({
        "failover": { "window": "1s", "endAfter": "1s" },
        // Longer than the window: what is learned late must not count as usual.
        "witness": { "maxInterval": "6s" },
    });
    let mut cluster = zones.cluster(OutlierDetection::first_error());
    cluster.discovered = true;
    cluster.more.extend(health_checks.map(|checks| ("health_checks".to_owned(), checks)));
    let bootstrap = Bootstrap::new(&Zones::home(), vec![cluster]);
    let envoy = Envoy::start(&bootstrap.with_filter(&Tool::Module.path()?, &config.to_string()))?;
    let mut load = envoy.load(HOST, 4)?;
    load.until("home serves", |tally| tally.from(HOME) > 40)?;
    Ok((envoy, load))
}

fn zones() -> Result<Zones> {
    Zones::start_at(&[HOME, HOME, NEAR])
}

/// Sends requests until this event has come, and returns it.
fn until(envoy: &Envoy, load: &mut Load, name: &str) -> Result<Event> {
    load.until(name, |_| envoy.events().any(|e| e.name() == name)).with_context(|| listed(envoy))?;
    envoy.events().wait_for(name, |e| e.name() == name)
}

/// A failover away from a home without an endpoint in rotation, and its end.
fn assert_fails_over(
    envoy: &mut Envoy,
    load: &mut Load,
    cause: &str,
    depart: impl FnOnce(&mut Envoy) -> Result<()>,
    recover: impl FnOnce(&mut Envoy) -> Result<()>,
) -> Result<()> {
    depart(envoy)?;
    let started = until(envoy, load, "failover_started")?;
    assert_eq!((started.text("from"), started.text("to")), (HOME, NEAR), "{started}");
    assert_eq!(started.text("cause"), cause, "{started}");
    assert_eq!((started.number("share"), started.number("healthy_at_home")), (Some(1.0), Some(0.0)), "{started}");
    recover(envoy)?;
    let ended = until(envoy, load, "failover_ended")?;
    assert_eq!(ended.text("because"), "recovered", "{ended}");
    assert_eq!(load.total.status(200), load.total.total(), "no request failed");
    let others = envoy.events().all().iter().filter(|e| !e.name().starts_with("failover_")).count();
    assert_eq!((others, envoy.events().named("failover_started").len()), (0, 1), "{}", listed(envoy));
    Ok(())
}

/// Gives the endpoints at home this health.
fn health_at_home(envoy: &Envoy, health: &str) -> Result<()> {
    envoy.edit_endpoints(CLUSTER, |places| {
        for host in places[0]["lb_endpoints"].as_array_mut().into_iter().flatten() {
            host["health_status"] = json!(health);
        }
    })
}

#[test]
fn a_home_that_the_control_plane_calls_unhealthy_fails_over() -> Result<()> {
    for health in ["UNHEALTHY", "DRAINING"] {
        let zones = zones()?;
        let (mut envoy, mut load) = start(&zones, None)?;
        let depart = |envoy: &mut Envoy| health_at_home(envoy, health);
        let recover = |envoy: &mut Envoy| health_at_home(envoy, "HEALTHY");
        assert_fails_over(&mut envoy, &mut load, "unhealthy", depart, recover).context(health)?;
    }
    Ok(())
}

#[test]
fn a_home_that_fails_its_health_checks_fails_over() -> Result<()> {
    let zones = zones()?;
    let is_well = Arc::new(AtomicBool::new(true));
    for upstream in &zones.0[..2] {
        let (is_well, name) = (Arc::clone(&is_well), upstream.name().to_owned());
        upstream.run(move |path| {
            let fails = path == "/ping" && !is_well.load(Ordering::SeqCst);
            (if fails { 503 } else { 200 }, name.clone())
        });
    }
    let checks = json!([{
        "timeout": "1s", "interval": "0.2s", "unhealthy_threshold": 1, "healthy_threshold": 1,
        "http_health_check": { "path": "/ping" },
    }]);
    let (mut envoy, mut load) = start(&zones, Some(checks))?;
    let set = |well: bool| {
        let is_well = Arc::clone(&is_well);
        move |_: &mut Envoy| {
            is_well.store(well, Ordering::SeqCst);
            Ok(())
        }
    };
    assert_fails_over(&mut envoy, &mut load, "unhealthy", set(false), set(true))
}

#[test]
fn a_home_whose_endpoints_leave_fails_over() -> Result<()> {
    let zones = zones()?;
    let (mut envoy, mut load) = start(&zones, None)?;
    let depart = |envoy: &mut Envoy| envoy.set_endpoints(CLUSTER, zones.endpoints().split_off(2));
    let recover = |envoy: &mut Envoy| envoy.set_endpoints(CLUSTER, zones.endpoints());
    assert_fails_over(&mut envoy, &mut load, "endpoints_left", depart, recover)
}
