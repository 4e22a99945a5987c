//! What Envoy's count of ejections adds to its list of hosts: the cause of an ejection that no attempt showed, and that
//! an ejected endpoint was back in rotation in the meantime.
//!
//! The count names no endpoint. So the filter takes a cause from it only if a single reason has unseen ejections, and a
//! new ejection only for an endpoint whose ejection was due to end. The count also refutes: if no ejection is unseen,
//! an endpoint that is still listed as ejected was never back.
//!
//! Envoy has no such count if its statistics are not kept (Istio leaves them out unless `proxyStatsMatcher` names
//! them). Then the list alone decides, by the number of requests that went to the endpoint and by the clock.

use super::departures;
use super::endpoint::{DETECTS_WITHIN_MS, Endpoint, count};
use super::failovers;
use super::input::EvaluationContext;
use super::state::ClusterState;
use super::unseen_successes;
use crate::admin::stats::Ejections;
use crate::endpoint::ejection::Ejection;
use crate::endpoint::evidence::{ANSWER_WAIT_MS, Evidence};
use crate::endpoint::reason::{Basis, EjectReason};
use crate::event::Event;
use crate::time::Millis;

/// The interval between two questions for the count while nothing requires one, in milliseconds. Later counts are
/// compared with these.
const CALM_INTERVAL_MS: Millis = 60_000;

/// Health checks of one host are hardly ever less than this apart, in milliseconds. So a host that a passed check has
/// just returned is not returned by the next one sooner.
const CHECKS_APART_MS: Millis = 250;

/// For how long it is asked which endpoint an unseen ejection belongs to where ejections end early, in milliseconds.
const STALE_MS: Millis = 600;

/// Whether Envoy should be asked for its count of the cluster's ejections now, right after its list.
pub fn wants_counts(state: &mut ClusterState, now: Millis) -> bool {
    state.endpoints.all();
    let counts = &state.counts;
    let since = now.abs_diff(counts.last_asked);
    let is_new =
        |endpoint: &Endpoint| endpoint.rotation.recheck_asked().is_some_and(|(_, last)| last >= counts.answer_asked);
    since >= CALM_INTERVAL_MS
        || state.endpoints.iter().any(|endpoint| endpoint.rotation.awaits_cause() || endpoint.reported.held.is_some())
        || state.endpoints.iter().any(|endpoint| departures::awaits_count(endpoint, counts.answer_asked))
        || (since >= counts.recheck_interval() && counts.is_kept() && state.endpoints.iter().any(is_new))
}

/// Applies Envoy's count of the cluster's ejections, asked for at `asked` after the list; `None` if Envoy has none.
pub fn on_ejection_counts(
    state: &mut ClusterState,
    counted: Option<Ejections>,
    asked: Millis,
    context: &EvaluationContext<'_>,
) -> Vec<Event> {
    let mut events = Vec::new();
    state.counts.observe(counted, asked);
    decide_held(state, asked, context, &mut events);
    let (reason, newest) = (state.counts.only_reason(), state.counts.is_newest());
    for index in state.endpoints.all() {
        state.apply(index, &Evidence::Cause(reason), context, &mut events);
    }
    state.counts.note_unseen();
    // Below zero, more ejections were reported than happened.
    if newest && state.counts.unseen() <= 0 {
        state.counts.rebase();
    }
    failovers::step(state, None, context, &mut events);
    events
}

/// Reports streaks that waited for the count, asked for at `asked`, or drops them if Envoy detected none.
fn decide_held(state: &mut ClusterState, asked: Millis, context: &EvaluationContext<'_>, events: &mut Vec<Event>) {
    let detected = state.counts.detected();
    for index in state.endpoints.all() {
        let is_about_it = context.sees_successes || unseen_successes::is_detected(state, index, context.now);
        let Some(endpoint) = state.endpoints.get_mut(index) else { continue };
        let Some(held) = &endpoint.reported.held else { continue };
        match detected {
            _ if held.detected.is_none() || (!context.sees_successes && asked < held.since) => {}
            Some(_) if detected == held.detected => {
                if asked >= held.since.saturating_add(DETECTS_WITHIN_MS) {
                    drop_undetected(endpoint, context);
                }
            }
            Some(_) if !is_about_it => drop_undetected(endpoint, context),
            Some(_) => state.release_streak(index, Basis::Witnessed, context, events),
            // The list decides where successes are not seen.
            None if !context.sees_successes => {}
            None => state.release_streak(index, Basis::Inferred, context, events),
        }
    }
}

fn drop_undetected(endpoint: &mut Endpoint, context: &EvaluationContext<'_>) {
    if context.sees_successes {
        endpoint.reported.held = None;
        endpoint.reported.is_undetected = true;
    } else {
        endpoint.drop_held();
    }
}

/// Reports streaks that waited for the cluster's rule, if they are streaks by it, and those that waited for too long.
pub(super) fn release_overdue(state: &mut ClusterState, context: &EvaluationContext<'_>, events: &mut Vec<Event>) {
    for index in state.endpoints.all() {
        let Some(endpoint) = state.endpoints.get_mut(index) else { continue };
        let Some(held) = &endpoint.reported.held else { continue };
        let waits = context.has_witness && context.now.abs_diff(held.since) < ANSWER_WAIT_MS;
        let has_rule = held.detected.is_none() && !state.known_rule.is_unasked();
        let is_told = has_rule || !waits;
        if has_rule && held.kind.threshold(context.outlier) != held.threshold {
            // To Envoy it is no streak.
            endpoint.reported.held = None;
        } else if is_told && context.sees_successes {
            state.release_streak(index, Basis::Inferred, context, events);
        } else if !waits {
            // Nobody knows whether successes broke it.
            endpoint.drop_held();
        }
    }
}

/// Notes that the count was asked for at `asked` and no usable answer came.
pub fn on_ejection_counts_failed(state: &mut ClusterState, asked: Millis) {
    state.counts.last_asked = asked;
}

/// Finds endpoints that were ejected again unseen. `asked` is when the list that was just taken in was asked for: an
/// ejection that Envoy counted before then is in the list, was reported, or is unseen.
pub(super) fn find_unseen(
    state: &mut ClusterState,
    asked: Millis,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let counted = state.counts.answer_asked;
    if !state.counts.is_kept() || asked < counted {
        return;
    }
    let awaiting = count(state.endpoints.iter().filter(|endpoint| endpoint.rotation.awaits_cause()));
    let unseen = state.counts.unseen().saturating_sub(i64::from(awaiting));
    let Some(unseen) = usize::try_from(unseen).ok().filter(|unseen| *unseen > 0) else {
        return clear_rechecks(state, counted, context, events);
    };
    if context.rule.by_percentage && !state.counts.only_reason().is_some_and(|reason| reason != EjectReason::Other) {
        // One endpoint may have been counted twice.
        if awaiting == 0 {
            state.counts.rebase();
        }
        return clear_rechecks(state, counted, context, events);
    }
    let again = ejected_again(state, unseen, asked, context);
    for index in again.iter().copied() {
        let reason = state.counts.only_reason().unwrap_or(EjectReason::Other);
        let since = state.counts.unseen_since;
        state.apply(index, &Evidence::EjectedAgain { reason, since }, context, events);
    }
    if !again.is_empty() {
        state.counts.note_unseen();
    }
    // No endpoint is left that the unseen ejections can belong to, for example because it has left the cluster.
    // Where ejections end early, the one that they belong to is soon back once more, and others would seem to be it.
    let is_stale = state.ends_early && asked.saturating_sub(state.counts.unseen_asked) > STALE_MS;
    let is_left = |endpoint: &Endpoint| is_due(endpoint, state.counts.unseen_asked);
    if awaiting == 0 && (is_stale || !state.endpoints.iter().any(is_left)) {
        state.counts.rebase();
    }
}

/// The endpoints that have certainly returned and been ejected again, if so many ejections are unseen.
fn ejected_again(state: &ClusterState, unseen: usize, asked: Millis, context: &EvaluationContext<'_>) -> Vec<usize> {
    let ejection_of = |index: &usize| state.endpoints.get(*index).and_then(|endpoint| endpoint.rotation.ejection());
    // An ejection that began since was due later than the unseen one was counted.
    let was_due = |endpoint: &Endpoint, due: Millis| {
        due.max(endpoint.rotation.returned_since().saturating_add(CHECKS_APART_MS)) <= state.counts.unseen_asked
    };
    let is_early = |index: &usize| {
        let is_older = |ejection: &Ejection| ejection.at <= state.counts.unseen_asked;
        let ejection = ejection_of(index).filter(is_older);
        state.endpoints.get(*index).zip(ejection).is_some_and(|(endpoint, ejection)| was_due(endpoint, ejection.due))
    };
    let mut found = candidates(state, state.counts.answer_asked, asked, context);
    found.retain(is_early);
    // One that is out for longer than any ejection lasts was ejected again, whatever the others are.
    let is_overdue = |index: &&usize| {
        context.rule.by_envoy && ejection_of(index).is_some_and(|it| asked > it.surely_over(context.outlier))
    };
    let overdue: Vec<usize> = found.iter().filter(is_overdue).copied().collect();
    if !overdue.is_empty() && overdue.len() <= unseen {
        return overdue;
    }
    // Where ejections end before their time, any may have, also that of an endpoint which has just failed and which no
    // list has shown as ejected. Requests that were under way look like those of one that was back.
    let ends_early = |index: &usize| {
        ejection_of(index).is_some_and(|ejection| ejection.due == ejection.earliest && asked < ejection.overdue)
    };
    let has_failed = |endpoint: &Endpoint, at: Millis| {
        at >= endpoint.rotation.returned_at() && asked.saturating_sub(at) < ANSWER_WAIT_MS
    };
    let was_out = |endpoint: &&Endpoint| match endpoint.rotation.ejection() {
        Some(ejection) => was_due(endpoint, ejection.earliest),
        None => endpoint.reported.streak.is_some_and(|(_, at)| has_failed(endpoint, at)),
    };
    let is_certain = !found.iter().any(ends_early) || state.endpoints.iter().filter(was_out).count() <= unseen;
    // With more candidates than unseen ejections, no candidate is certain.
    if is_certain && found.len() <= unseen { found } else { Vec::new() }
}

/// The endpoints that may have returned and been ejected again: those that got requests after their ejection time was
/// over; if there are none, or where rates eject, also those whose ejection may be over.
fn candidates(state: &ClusterState, counted: Millis, asked: Millis, context: &EvaluationContext<'_>) -> Vec<usize> {
    let rechecked = |endpoint: &Endpoint| {
        is_due(endpoint, asked) && endpoint.rotation.recheck_asked().is_some_and(|(first, _)| first <= counted)
    };
    let is_late = |endpoint: &Endpoint| {
        let ejection = endpoint.rotation.ejection().filter(|ejection| asked >= ejection.due);
        // By rates, Envoy may eject an endpoint in the same tick that ends its ejection, without a request in between.
        ejection.is_some_and(|ejection| context.rule.by_rate || asked > ejection.surely_over(context.outlier))
    };
    // Where rates eject, requests prove little: the endpoint that was ejected again may have had none.
    let by_rate = context.rule.by_rate && context.rule.by_envoy;
    let requests_decide = !by_rate && state.endpoints.iter().any(rechecked);
    let is_candidate = |endpoint: &Endpoint| rechecked(endpoint) || (!requests_decide && is_late(endpoint));
    let endpoints = state.endpoints.iter().enumerate();
    endpoints.filter(|(_, endpoint)| is_candidate(endpoint)).map(|(index, _)| index).collect()
}

fn is_due(endpoint: &Endpoint, asked: Millis) -> bool {
    endpoint.rotation.ejection().is_some_and(|ejection| asked >= ejection.due)
}

/// Clears rechecks older than the count asked for at `counted`: it showed no unseen ejection.
fn clear_rechecks(state: &mut ClusterState, counted: Millis, context: &EvaluationContext<'_>, events: &mut Vec<Event>) {
    let is_old = |endpoint: &Endpoint| endpoint.rotation.recheck_asked().is_some_and(|(first, _)| first <= counted);
    let endpoints = state.endpoints.iter().enumerate();
    let old: Vec<usize> = endpoints.filter(|(_, endpoint)| is_old(endpoint)).map(|(index, _)| index).collect();
    if !old.is_empty() {
        state.counts.record_vain_recheck();
    }
    for index in old {
        state.apply(index, &Evidence::NoneUnseen { counted }, context, events);
    }
}
