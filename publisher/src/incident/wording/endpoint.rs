//! An endpoint's trouble in words: its row of the table, and what stands at its bars and marks in a picture.

use std::collections::BTreeSet;

use crate::incident::model::{Blocked, Ejection, Endpoint, Streak};
use crate::incident::names;
use crate::incident::units::{Clock, count, duration};
use crate::incident::view::{Caption, EjectionView, EndpointView, Mark};

use super::period::lasted;

/// An ejection follows its streak within this time.
const STREAK_BEFORE_EJECTION_MS: u64 = 2_000;

/// An endpoint in words.
pub(super) fn view(endpoint: &Endpoint, clock: Clock) -> EndpointView<'_> {
    let ejections = &endpoint.ejections;
    let total = ejections.iter().map(|ejection| ejection.period.total).sum();
    let at_last = match ejections.last() {
        _ if ejections.iter().any(|ejection| ejection.period.open) => ", still out",
        Some(last) if last.is_by_removal() => ", then left the cluster",
        _ => "",
    };
    let basis: BTreeSet<&str> = ejections.iter().flat_map(|ejection| &ejection.basis).map(String::as_str).collect();
    let blocked = match endpoint.blocked.len() {
        0 => String::new(),
        n => format!(" ({n} blocked)"),
    };
    EndpointView {
        endpoint,
        label: if endpoint.address.is_empty() { "(no address)" } else { &endpoint.address },
        locality: names::locality(&endpoint.locality),
        first: clock.time(endpoint.first),
        failures: endpoint.failures(),
        last_error: endpoint.last_failure.map_or_else(|| "not in the log".to_owned(), |failure| failure.to_string()),
        ejected: format!("{}{blocked}", ejections.len()),
        out_for: if ejections.is_empty() { String::new() } else { format!("{}{at_last}", duration(total)) },
        basis: basis.into_iter().collect::<Vec<_>>().join(", "),
        ejections: ejections.iter().map(|ejection| ejection_view(endpoint, ejection, clock)).collect(),
        streaks: streaks(endpoint, clock),
        blocked: blocked_ejections(endpoint, clock),
        last_streak: endpoint.last_failure.filter(|_| ejections.is_empty()).map(|failure| failure.to_string()),
    }
}

fn ejection_view<'a>(endpoint: &Endpoint, ejection: &'a Ejection, clock: Clock) -> EjectionView<'a> {
    let took = lasted(&ejection.period);
    let reasons: Vec<String> = ejection.reasons.iter().map(|reason| reason.replace('_', " ")).collect();
    let then = if ejection.is_by_removal() { ", then left the cluster or was replaced" } else { "" };
    let tip = format!(
        "{} ejected from {} for {took} ({}){then}, seen by {}",
        endpoint.address,
        clock.time(ejection.period.span.from),
        reasons.join(", "),
        count(ejection.period.proxies as u64, "proxy")
    );
    EjectionView { ejection, caption: Caption { labels: vec![format!("out {took}"), took], tip } }
}

fn streaks(endpoint: &Endpoint, clock: Clock) -> Vec<Mark> {
    let mark = |streak: &Streak| Mark {
        at: streak.at,
        tip: format!("{}: {}, {} in a row", clock.time(streak.at), streak.failure, streak.errors),
    };
    endpoint.streaks.iter().map(mark).collect()
}

fn blocked_ejections(endpoint: &Endpoint, clock: Clock) -> Vec<Mark> {
    let mark = |blocked: &Blocked| Mark {
        at: blocked.at,
        tip: format!("{}: ejection blocked, {}", clock.time(blocked.at), blocked.reason.replace('_', " ")),
    };
    endpoint.blocked.iter().map(mark).collect()
}

/// How it failed first, as far as the log knows; empty if it does not. A streak that came later, as may be when retries
/// hid the first, is not how it failed first.
pub(super) fn first_error(endpoint: &Endpoint) -> String {
    let streak = endpoint.streaks.first().filter(|s| s.at.abs_diff(endpoint.first) < STREAK_BEFORE_EJECTION_MS);
    let ejection = endpoint.ejections.iter().min_by_key(|ejection| ejection.period.span.from);
    let reason = ejection.map_or("", |ejection| reason(&ejection.reasons));
    streak.map_or_else(|| reason.to_owned(), |streak| streak.failure.to_string())
}

/// What an ejection was for, by its reasons; empty if they do not say.
fn reason(reasons: &BTreeSet<String>) -> &'static str {
    let mut known = reasons.iter().map(String::as_str).filter(|reason| *reason != "other");
    match (known.next(), known.next()) {
        (Some("consecutive_5xx"), None) => "answered 5xx, or not at all",
        (Some("consecutive_gateway_failure"), None) => "answered 502, 503 or 504, or not at all",
        (Some("consecutive_local_origin_failure"), None) => "could not be reached, or did not answer",
        _ => "",
    }
}
