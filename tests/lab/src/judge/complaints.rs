//! Conditions at the end of a round, or of a drill, besides ejections and returns.

use std::collections::BTreeMap;

use anyhow::Result;

use super::ingredient::Ingredient;
use super::scene::Scene;
use crate::envoy::attempts::Kind;
use crate::envoy::events::Event;
use crate::envoy::outlier::Record;
use crate::envoy::proxy::Envoy;

/// Everything that is wrong at the end of a round, a line each; `ejections` is how many the filter should have counted.
pub(super) fn complaints(envoy: &Envoy, scene: &Scene, ejections: usize) -> Result<Vec<String>> {
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
    let counted = metrics.sum("faultline_ejections_total", &[]).abs();
    if counted != ejections as f64 {
        complaints.push(format!("faultline_ejections_total is {counted}, and {ejections} is right"));
    }
    let events = envoy.events().all();
    complaints.extend(blocked(envoy, scene, &events)?);
    if scene.mode.has_witness() {
        complaints.extend(streaks(scene, &events));
    }
    let spells = [("failover_started", "failover_ended"), ("no_healthy_upstream", "upstream_recovered")];
    for (service, (begin, end)) in scene.services.iter().flat_map(|s| spells.map(|spell| (s, spell))) {
        let told = in_order(&events, &service.name, &[begin, end]);
        let told: Vec<&str> = told.iter().map(Event::name).collect();
        if !told.chunks(2).all(|pair| pair == [begin, end]) {
            complaints.push(format!("{}: {begin} and {end} do not take turns: {told:?}", service.name));
        }
    }
    let trapped = |line: &&String| line.contains("wasm") && (line.contains("[critical]") || line.contains("[error]"));
    complaints.extend(envoy.events().lines().iter().find(trapped).map(|line| format!("the VM failed: {line}")));
    Ok(complaints)
}

/// Streaks that were told by another rule than Envoy's: with another threshold, or to eject where they do not.
fn streaks(scene: &Scene, events: &[Event]) -> Vec<String> {
    let is_wrong = |event: &&Event| {
        let service = scene.services.iter().find(|s| s.name == event.text("cluster"));
        let Some(service) = service else { return true };
        let says_ejects = event.fields["ejects"] != false;
        let threshold = service.threshold(event.text("kind"));
        let is_other = threshold.is_some_and(|threshold| event.fields["threshold"] != threshold);
        says_ejects != service.ejects_streaks() || is_other
    };
    let told = events.iter().filter(|event| event.name() == "error_streak").filter(is_wrong);
    told.map(|event| format!("a streak by another rule than Envoy's: {event}")).collect()
}

/// The events of these names about a cluster, in the order of their `ts`: workers write their lines in any order.
pub(super) fn in_order(events: &[Event], cluster: &str, names: &[&str]) -> Vec<Event> {
    let is = |event: &&Event| event.text("cluster") == cluster && names.contains(&event.name());
    let mut events: Vec<Event> = events.iter().filter(is).cloned().collect();
    events.sort_by_cached_key(|event| event.text("ts").to_owned());
    events
}

/// Ejections that were told to be blocked, but that Envoy did not block, or for another reason.
fn blocked(envoy: &Envoy, scene: &Scene, events: &[Event]) -> Result<Vec<String>> {
    let unenforced = envoy.unenforced_records()?;
    let mut overflows = BTreeMap::new();
    for (stat, value) in envoy.stats("outlier_detection.ejections_overflow$")? {
        if let Some(service) = scene.services.iter().find(|service| stat.contains(&service.name)) {
            overflows.insert(&service.name, value);
        }
    }
    let is_right = |event: &Event| match event.text("reason") {
        "max_ejection_percent" => {
            scene.has(Ingredient::NoStatistics)
                || overflows.iter().any(|(cluster, count)| *cluster == event.text("cluster") && *count > 0)
        }
        "not_enforced" => {
            let is = |r: &Record| r.cluster == event.text("cluster") && r.endpoint == event.text("endpoint");
            unenforced.iter().any(is)
        }
        _ => false,
    };
    let told = events.iter().filter(|event| event.name() == "ejection_blocked");
    Ok(told.filter(|event| !is_right(event)).map(|event| format!("Envoy blocked nothing like it: {event}")).collect())
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
