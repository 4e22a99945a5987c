//! What Envoy's detector decided, compared with what the filter told.

use std::time::Instant;

use anyhow::{Context, Result};
use lab::envoy::events::Event;
use lab::envoy::outlier::{Action, Record};
use lab::envoy::proxy::Envoy;
use lab::net::load::Load;

fn line(action: Action, cluster: &str, endpoint: &str) -> String {
    let what = if action == Action::Eject { "eject" } else { "return" };
    format!("{what} {endpoint} of {cluster}")
}

/// Envoy's ejections and returns, in any order.
pub(crate) fn decided(records: &[Record]) -> Vec<String> {
    let mut all: Vec<String> = records.iter().map(|r| line(r.action, &r.cluster, &r.endpoint)).collect();
    all.sort();
    all
}

/// The filter's ejections and returns, in any order.
pub(crate) fn told(envoy: &Envoy) -> Vec<String> {
    let line = |event: &Event| {
        let action = match event.name() {
            "endpoint_ejected" => Action::Eject,
            "endpoint_returned" => Action::Return,
            _ => return None,
        };
        Some(line(action, event.text("cluster"), event.text("endpoint")))
    };
    let mut all: Vec<String> = envoy.events().all().iter().filter_map(line).collect();
    all.sort();
    all
}

/// The filter's events, for messages.
pub(crate) fn listed(envoy: &Envoy) -> String {
    envoy.events().all().iter().map(|event| format!("{event}\n")).collect()
}

/// Sends requests until Envoy has ejected so often.
pub(crate) fn until_ejected(envoy: &Envoy, load: &mut Load, times: usize) -> Result<()> {
    let ejected = |records: Vec<Record>| records.iter().filter(|r| r.action == Action::Eject).count();
    load.until("the ejections", |_| envoy.outlier_records().is_ok_and(|records| ejected(records) >= times))?;
    Ok(())
}

/// Sends requests until all that Envoy ejected is back and the filter has told the same, by Envoy's word; and some
/// more, in which nothing else is told.
pub(crate) fn until_told_as_decided(envoy: &Envoy, load: &mut Load) -> Result<()> {
    let is_over =
        |records: &[Record]| records.iter().filter(|r| r.action == Action::Eject).count() * 2 == records.len();
    load.until("the returns", |_| envoy.outlier_records().is_ok_and(|records| is_over(&records)))?;
    let is_told = || envoy.outlier_records().is_ok_and(|records| told(envoy) == decided(&records));
    let met = load.until("what Envoy decided is told", |_| is_told());
    met.with_context(|| format!("Envoy: {:#?}\n{}", envoy.outlier_records(), listed(envoy)))?;
    // Long enough for what is concluded by the clock, and for two ticks of the detector.
    let since = Instant::now();
    load.until("some ticks", |_| since.elapsed().as_millis() > 1_200)?;
    assert_eq!(told(envoy), decided(&envoy.outlier_records()?), "{}", listed(envoy));
    for event in envoy.events().all().iter().filter(|event| event.name().starts_with("endpoint_")) {
        assert_eq!(event.text("basis"), "witnessed", "{event}");
    }
    Ok(())
}
