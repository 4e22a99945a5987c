//! The streaks of a cluster's endpoints: an attempt goes into the endpoint's detector. A threshold that it reaches is
//! reported and becomes evidence for the endpoint's rotation.

use super::endpoint::HeldStreak;
use super::input::{AttemptObservation, EvaluationContext};
use super::state::ClusterState;
use crate::endpoint::evidence::Evidence;
use crate::endpoint::streak::{Certainty, Crossing, StreakKind};
use crate::event::{Event, LastAttempt};
use crate::time::{Micros, Millis};

/// A streak that is broken and builds up again within this time is reported only once, in milliseconds.
const SAME_STREAK_MS: Millis = 1_000;

/// How much later than a failure of one worker another may report a connection that was established before it, in
/// microseconds: its attempt has to end first. Envoy is asked instead where that is possible.
const LATE_CONNECTION_US: Micros = 5_000;

/// Applies what Envoy reported to its detector for an attempt.
pub(super) fn put_result(
    state: &mut ClusterState,
    index: usize,
    seen: &AttemptObservation<'_>,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    endpoint.seen = context.now;
    if endpoint.is_ejected() {
        return endpoint.detector.put_result_while_ejected(&seen.input, &seen.times, context.outlier);
    }
    if !context.sees_successes {
        for crossing in endpoint.detector.put_failure(&seen.input, &seen.times, context.outlier) {
            // Only Envoy knows what came between.
            if context.has_witness {
                report(state, index, crossing, seen.last.clone(), context, events);
                await_connections(state, index, crossing.kind);
                on_threshold(state, index, crossing, context, events);
            }
        }
        return;
    }
    let was_unconfirmed = endpoint.detector.has_unconfirmed();
    let doubt = if context.has_witness { 0 } else { LATE_CONNECTION_US };
    let crossings = endpoint.detector.put_result(&seen.input, &seen.times, context.outlier, doubt);
    let confirmed = crossings.iter().any(|crossing| matches!(crossing.certainty, Certainty::Confirmed(_)));
    if was_unconfirmed && !confirmed && !endpoint.detector.has_unconfirmed() {
        endpoint.reported.unconfirmed = None;
        state.apply(index, &Evidence::StreakBroken, context, events);
    }
    for crossing in crossings {
        match crossing.certainty {
            Certainty::Certain => {
                report(state, index, crossing, seen.last.clone(), context, events);
                on_threshold(state, index, crossing, context, events);
            }
            Certainty::Unconfirmed => keep_back(state, index, crossing, seen.last.clone(), context, events),
            Certainty::Confirmed(_) => confirm(state, index, crossing, context, events),
        }
    }
}

/// A streak that is held back waits for attempts in progress, which may show that a connection broke it.
fn await_connections(state: &mut ClusterState, index: usize, kind: StreakKind) {
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    let doubt = endpoint.detector.doubt_millis(kind);
    if let Some(held) = endpoint.reported.held.as_mut().filter(|held| held.kind == kind) {
        held.since = held.since.saturating_add(doubt);
    }
}

/// Reports a crossing that was unconfirmed until now, and its consequences.
pub(super) fn confirm(
    state: &mut ClusterState,
    index: usize,
    crossing: Crossing,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    if let Some(last) = state.endpoints.get_mut(index).and_then(|endpoint| endpoint.reported.unconfirmed.take()) {
        report(state, index, crossing, last, context, events);
    }
    on_threshold(state, index, crossing, context, events);
}

/// Holds back the report of an unconfirmed crossing; with a witness, Envoy may already know the result.
fn keep_back(
    state: &mut ClusterState,
    index: usize,
    Crossing { kind, first, .. }: Crossing,
    last: LastAttempt,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    endpoint.reported.unconfirmed = Some(last);
    endpoint.reported.blocked &= !(context.has_witness && first);
    state.apply(index, &Evidence::UnconfirmedThreshold { kind, first }, context, events);
}

fn on_threshold(
    state: &mut ClusterState,
    index: usize,
    Crossing { kind, first, certainty, .. }: Crossing,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    endpoint.reported.blocked &= !(context.has_witness && first);
    let at = match certainty {
        Certainty::Confirmed(at) => at,
        Certainty::Certain | Certainty::Unconfirmed => context.now,
    };
    state.apply(index, &Evidence::Threshold { kind, first, at }, context, events);
}

/// Logs a streak once, however often it reaches its threshold while it is unbroken.
fn report(
    state: &mut ClusterState,
    index: usize,
    Crossing { kind, threshold, first, .. }: Crossing,
    last: LastAttempt,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    // In split mode any connection breaks a streak. One that builds up again at once is the same streak to the reader.
    let is_same = |(before, at): (StreakKind, Millis)| {
        let goes_on = context.now.saturating_sub(at) < SAME_STREAK_MS && at >= endpoint.rotation.returned_at();
        before == StreakKind::LocalOrigin && before == kind && goes_on
    };
    if !first || endpoint.reported.streak.is_some_and(is_same) {
        return;
    }
    endpoint.reported.streak = Some((kind, context.now));
    let detected = state.counts.detected().filter(|_| context.rule.ejects);
    let is_open = detected.is_some() || state.known_rule.is_unasked() || !context.sees_successes;
    if context.has_witness && is_open {
        let held = HeldStreak { kind, threshold, last, since: context.now, detected, blocked: None };
        // One that still waits was detected as well if this one is.
        endpoint.reported.held.get_or_insert(held);
        endpoint.reported.is_undetected = false;
    } else {
        state.report_streak(index, (kind, threshold), last, context, events);
    }
}
