//! Tests of the scripted endpoints with Envoy's own outlier event log, without our filter. All other tests here depend
//! on them: if the endpoints did not fail like real ones, or the priorities were not Istio's, these tests would show
//! it.

use std::time::Duration;

use anyhow::Result;
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::{Action, OutlierDetection};
use lab::envoy::proxy::Envoy;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};

/// One error ejects, and the ejection outlasts the test.
fn one_error_ejects() -> OutlierDetection {
    OutlierDetection { base_ejection_time: Duration::from_secs(300), ..OutlierDetection::first_error() }
}

#[test]
fn traffic_fails_over_zone_by_zone_and_comes_back() -> Result<()> {
    let zones = Zones::start()?;
    let envoy = Envoy::start(&Bootstrap::new(&Zones::home(), vec![zones.cluster(OutlierDetection::first_error())]))?;
    let mut load = envoy.load(HOST, 4)?;
    assert_eq!(load.send(40).from(ZONES[0]), 40, "in health, traffic stays in the caller's zone");

    zones.at(ZONES[0])?.set(Behaviour::Refuse)?;
    let failed = load.until("an error", |t| t.status(503) > 0)?;
    assert_eq!(failed.from(ZONES[0]), 0);
    load.until("the other zone of the region serves", |t| t.from(ZONES[1]) > 0)?;
    assert_eq!(envoy.ejected(CLUSTER)?, [zones.at(ZONES[0])?.address().to_string()]);

    zones.at(ZONES[1])?.set(Behaviour::Refuse)?;
    let far = |t: &lab::net::load::Tally| t.from(ZONES[2]) + t.from(ZONES[3]) > 0;
    load.until("the other region serves", far)?;

    zones.at(ZONES[0])?.set(Behaviour::Answer(200))?;
    load.until("the caller's zone serves again", |t| t.from(ZONES[0]) > 0)?;
    let home = zones.at(ZONES[0])?.address().to_string();
    let records = envoy.wait_for_records("the return", |r| r.iter().any(|r| r.action == Action::Return))?;
    let of_home: Vec<_> =
        records.iter().filter(|r| r.endpoint == home).map(|r| (r.action, r.reason.as_str())).collect();
    assert_eq!(of_home[0], (Action::Eject, "consecutive_local_origin_failure"));
    assert_eq!(of_home[1], (Action::Return, ""));
    Ok(())
}

#[test]
fn each_way_to_fail_is_charged_as_envoy_charges_it() -> Result<()> {
    let ways = [
        (Behaviour::Answer(500), 500, "consecutive_5xx"),
        (Behaviour::Answer(503), 503, "consecutive_5xx"),
        (Behaviour::Refuse, 503, "consecutive_local_origin_failure"),
        (Behaviour::ResetOnConnect, 503, "consecutive_local_origin_failure"),
        (Behaviour::ResetOnRequest, 503, "consecutive_local_origin_failure"),
        (Behaviour::CloseBeforeHeaders, 503, "consecutive_local_origin_failure"),
        (Behaviour::Hang, 504, "consecutive_local_origin_failure"),
        (Behaviour::ResetAfterHeaders, 200, "consecutive_local_origin_failure"),
    ];
    for (way, status, reason) in ways {
        let zones = Zones::start()?;
        let mut bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(one_error_ejects())]);
        bootstrap.route_timeout = (way == Behaviour::Hang).then_some(Duration::from_millis(200));
        let envoy = Envoy::start(&bootstrap)?;
        let mut load = envoy.load(HOST, 2)?;
        zones.at(ZONES[0])?.set(way)?;
        let answer = load.get("/")?;
        assert_eq!((answer.status, answer.complete), (status, way != Behaviour::ResetAfterHeaders), "{way:?}");
        let records = envoy.wait_for_records("the ejection", |r| !r.is_empty())?;
        assert_eq!(records[0].reason, reason, "{way:?}");
        assert_eq!(records[0].endpoint, zones.at(ZONES[0])?.address().to_string(), "{way:?}");
        load.until("another zone serves", |t| t.from(ZONES[1]) > 0)?;
    }
    Ok(())
}

#[test]
fn a_slow_body_and_a_client_error_are_not_failures() -> Result<()> {
    let zones = Zones::start()?;
    let envoy = Envoy::start(&Bootstrap::new(&Zones::home(), vec![zones.cluster(one_error_ejects())]))?;
    let home = zones.at(ZONES[0])?;

    home.set(Behaviour::HoldBody)?;
    let mut client = lab::net::http::Client::new(envoy.address(), HOST);
    client.send("/")?;
    lab::wait::eventually("the request arrives", || Ok((home.requests() == 1).then_some(())))?;
    home.set(Behaviour::Answer(404))?;
    assert!(client.receive()?.complete);

    assert_eq!(envoy.load(HOST, 2)?.send(20).status(404), 20);
    assert!(envoy.outlier_records()?.is_empty());
    assert_eq!(home.requests(), 21);
    Ok(())
}

#[test]
fn every_worker_sees_traffic() -> Result<()> {
    let zones = Zones::start()?;
    let envoy = Envoy::start(&Bootstrap::new(&Zones::home(), vec![zones.cluster(one_error_ejects())]))?;
    let _load = envoy.load(HOST, 4)?;
    lab::wait::eventually("two connections on each worker", || {
        let workers = envoy.stats("worker_[0-9]+.downstream_cx_total")?;
        Ok((workers.iter().map(|(_, n)| *n).collect::<Vec<_>>() == [2, 2]).then_some(()))
    })
}
