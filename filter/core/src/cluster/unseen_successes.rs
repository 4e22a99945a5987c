//! Where the filter sees only attempts that failed: a streak's report is held back until Envoy's list shows whether
//! successes came between its failures.

use super::endpoint::{DETECTS_WITHIN_MS, Endpoint};
use super::input::EvaluationContext;
use super::state::ClusterState;
use crate::admin::host_lists::HostStatus;
use crate::endpoint::evidence::Evidence;
use crate::endpoint::reason::Basis;
use crate::event::Event;
use crate::time::Millis;

/// An endpoint that was ejected this long ago may be what a count of detections grew by, in milliseconds.
const RECENTLY_MS: Millis = 2_000;

/// Takes in Envoy's count of a host's successes, in a list that was asked for at `asked`. What the failures suggest of
/// an endpoint that answers in between is dropped where rates eject as well and no count tells why.
pub(super) fn take_in(
    state: &mut ClusterState,
    index: usize,
    (host, asked): (&HostStatus, Millis),
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let is_doubtful = context.rule.by_rate && !state.counts.is_kept();
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    endpoint.successes.take_in(&mut endpoint.detector, host.successes, asked);
    if is_doubtful && endpoint.successes.is_intermittent {
        endpoint.drop_held();
        state.apply(index, &Evidence::StreakDoubtful, context, events);
    }
}

/// Reports the streak that is held back if it is certain, or drops it, by a list that was asked for at `asked`. Where
/// Envoy counts detections, these decide.
pub(super) fn decide_by_list(
    state: &mut ClusterState,
    index: usize,
    asked: Millis,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let is_due = |endpoint: &&mut Endpoint| {
        let held = endpoint.reported.held.as_ref();
        held.is_some_and(|held| asked >= held.since.saturating_add(DETECTS_WITHIN_MS))
    };
    if state.counts.detected().is_some() {
        return;
    }
    let Some(endpoint) = state.endpoints.get_mut(index).filter(is_due) else { return };
    if endpoint.is_held_certain() {
        state.release_streak(index, Basis::Inferred, context, events);
    } else {
        endpoint.drop_held();
    }
}

/// Whether Envoy's count of detections, which grew, is about this endpoint's streak: it is certain, or no other
/// endpoint can be meant.
pub(super) fn is_detected(state: &ClusterState, index: usize, now: Millis) -> bool {
    let is_recent = |endpoint: &Endpoint| {
        let ejection = endpoint.rotation.ejection();
        ejection.is_some_and(|ejection| now < ejection.at.saturating_add(RECENTLY_MS))
    };
    let is_other = |(other, endpoint): (usize, &Endpoint)| {
        other != index && (endpoint.reported.held.is_some() || is_recent(endpoint))
    };
    let is_certain = state.endpoints.get(index).is_some_and(Endpoint::is_held_certain);
    is_certain || !state.endpoints.iter().enumerate().any(is_other)
}
