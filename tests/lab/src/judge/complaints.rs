//! Conditions at the end of a round, or of a drill, besides ejections and returns.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::envoy::attempts::Kind;
use crate::envoy::events::Event;
use crate::envoy::proxy::Envoy;
use crate::zones::CLUSTER;

/// The sum of an outlier detection statistic of the scene's cluster.
pub(super) fn stat(envoy: &Envoy, name: &str) -> Result<u64> {
    let stats = envoy.stats(&format!("outlier_detection.{name}$"))?;
    Ok(stats.iter().filter(|(stat, _)| stat.contains(CLUSTER)).map(|(_, value)| value).sum())
}

/// Everything that is wrong at the end, a line each.
pub(super) fn complaints(envoy: &Envoy) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let metrics = envoy.metrics()?;
    let failing = failing_to_the_last(envoy)?;
    let gauges =
        [("faultline_ejected_endpoints", 0), ("faultline_failover_active", 0), ("faultline_open_findings", failing)];
    for (gauge, most) in gauges {
        let value = metrics.sum(gauge, &[]).abs();
        if value > most as f64 {
            complaints.push(format!("{gauge} is {value} when all is over, at most {most} is right"));
        }
    }
    let (counted, enforced) =
        (metrics.sum("faultline_ejections_total", &[]).abs(), stat(envoy, "ejections_enforced_total")?);
    if counted != enforced as f64 {
        complaints.push(format!("faultline_ejections_total is {counted}, ejections_enforced_total {enforced}"));
    }
    // The scene's detectors enforce every streak, so only the cap can block an ejection.
    let overflows = stat(envoy, "ejections_overflow")?;
    let events = envoy.events().all();
    let mut blocked = events.iter().filter(|event| event.name() == "ejection_blocked");
    if let Some(wrong) = blocked.find(|event| event.text("reason") != "max_ejection_percent" || overflows == 0) {
        complaints.push(format!("Envoy blocked nothing like it ({overflows} by the cap): {wrong}"));
    }
    for (begin, end) in [("failover_started", "failover_ended"), ("no_healthy_upstream", "upstream_recovered")] {
        // Workers write their lines in any order; `ts` has the order of the events.
        let mut told = envoy.events().all();
        told.retain(|event| [begin, end].contains(&event.name()));
        told.sort_by_cached_key(|event| event.text("ts").to_owned());
        let told: Vec<&str> = told.iter().map(Event::name).collect();
        let in_turn = told.chunks(2).all(|pair| pair == [begin, end]);
        if !in_turn {
            complaints.push(format!("{begin} and {end} do not take turns: {told:?}"));
        }
    }
    let trapped = |line: &&String| line.contains("wasm") && (line.contains("[critical]") || line.contains("[error]"));
    complaints.extend(envoy.events().lines().iter().find(trapped).map(|line| format!("the VM failed: {line}")));
    Ok(complaints)
}

/// How many endpoints had no success after their last failure: after nearer endpoints have returned, farther ones get
/// no more requests, so their streaks stay open, in Envoy too.
fn failing_to_the_last(envoy: &Envoy) -> Result<usize> {
    let mut failed = BTreeMap::new();
    let mut attempts = envoy.attempts()?;
    attempts.retain(|attempt| attempt.kind == Kind::Attempt);
    attempts.sort_by_key(|attempt| attempt.ended);
    for attempt in attempts {
        if !attempt.text.starts_with("200 -") {
            failed.insert(attempt.endpoint, attempt.ended);
        } else if failed.get(&attempt.endpoint).is_some_and(|failed| attempt.started > *failed) {
            failed.remove(&attempt.endpoint);
        }
    }
    Ok(failed.len())
}

/// Details of a 5xx that Envoy's router made or passed on.
const ROUTER: [&str; 4] = ["via_upstream", "upstream_", "response_timeout", "no_healthy_upstream"];

/// A 5xx that did not come from the router, so it comes from a filter whose VM is dead.
pub(crate) fn foreign_answers(envoy: &Envoy) -> Result<Option<String>> {
    let details = |text: &str| text.rsplit(' ').next().unwrap_or_default().to_owned();
    let requests = envoy.attempts()?.into_iter().filter(|a| a.kind == Kind::Request && a.text.starts_with('5'));
    let mut foreign = requests.filter(|a| !ROUTER.iter().any(|router| details(&a.text).starts_with(router)));
    Ok(foreign.next().map(|a| format!("an answer that the router did not give: {a}")))
}
