//! What traffic shows of a cluster: attempts one by one if they matter, the rest in sums, and which endpoints exist.

use super::endpoint::Endpoint;
use super::failovers;
use super::host_totals::Growth;
use super::input::{AttemptObservation, EvaluationContext};
use super::members::endpoint_hash;
use super::state::ClusterState;
use super::streaks;
use crate::endpoint::ejection::Ejection;
use crate::endpoint::evidence::Evidence;
use crate::endpoint::outcome::Outcome;
use crate::endpoint::reason::Basis;
use crate::event::{Event, EventKind};
use crate::failover::{Active, Count, Phase};
use crate::locality::Locality;
use crate::time::Millis;

/// After a worker acts on a change of an endpoint's health, all other workers know of it within this time, in
/// milliseconds.
const SPREAD_MS: Millis = 50;

/// For how long Envoy's list of hosts takes precedence over the endpoints that traffic shows, in milliseconds.
const LIST_OUTWEIGHS_TRAFFIC_MS: Millis = 120_000;

/// Applies an attempt that went to an endpoint.
pub fn on_attempt(
    state: &mut ClusterState,
    seen: &AttemptObservation<'_>,
    context: &EvaluationContext<'_>,
) -> Vec<Event> {
    let mut events = Vec::new();
    let outcome = seen.input.outcome();
    if outcome == Outcome::NotCharged {
        // The attempt is not charged; it shows only that a connection was established.
        if let Some(index) = state.endpoints.position(seen.endpoint) {
            streaks::put_result(state, index, seen, context, &mut events);
        }
        return events;
    }
    if seen.total.is_some() {
        state.total = seen.total;
    }
    let started = seen.started.unwrap_or(context.now);
    if let Some(since) = state.empty_since
        && outcome == Outcome::Success
        // An attempt that was in progress on another worker when this one found no healthy endpoint shows no recovery.
        && started > since.saturating_add(SPREAD_MS)
    {
        state.recover(context, &mut events);
    }
    if let Some(index) = endpoint_of(state, seen, outcome, context, &mut events) {
        state.note_panic(context);
        state.apply(index, &Evidence::Attempt { started }, context, &mut events);
        streaks::put_result(state, index, seen, context, &mut events);
    }
    // An endpoint that answers with an error has got the request; one that cannot be reached has not.
    let answered = (outcome != Outcome::LocalOrigin).then_some(seen.locality);
    failovers::step(state, answered, context, &mut events);
    events
}

/// The endpoint of an attempt; a success does not create one.
fn endpoint_of(
    state: &mut ClusterState,
    seen: &AttemptObservation<'_>,
    outcome: Outcome,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) -> Option<usize> {
    if let Some(index) = state.endpoints.position(seen.endpoint) {
        // One that is listed in several places may have several localities.
        let is_repeated = state.repeated.contains(&endpoint_hash(seen.endpoint));
        let differs = |endpoint: &Endpoint| endpoint.locality != *seen.locality && !seen.locality.is_unknown();
        let moved = |endpoint: &Endpoint| !is_repeated && differs(endpoint);
        if !state.endpoints.get(index).is_some_and(moved) {
            return Some(index);
        }
        // One that was under way when the endpoint was ejected went to the host of before, and says nothing about it.
        let began_before = |ejection: Ejection| seen.started.is_some_and(|started| started <= ejection.at);
        let is_older = |endpoint: &Endpoint| {
            endpoint.rotation.awaits_cause() || endpoint.rotation.ejection().is_some_and(began_before)
        };
        if state.endpoints.get(index).is_some_and(is_older) {
            return None;
        }
        // Envoy treats a host that moved to another locality as a new one, without streaks or ejections.
        state.apply(index, &Evidence::Gone(Basis::Inferred), context, events);
        state.endpoints.remove(index);
    }
    if !outcome.is_error() {
        return None;
    }
    let index = state.endpoints.add(seen.endpoint, seen.locality, seen.workload, context.now)?;
    state.localities.entry(seen.locality);
    Some(index)
}

/// Applies a request that found no healthy endpoint; `total` is Envoy's count of endpoints, if known.
pub fn on_no_healthy_upstream(
    state: &mut ClusterState,
    total: Option<u32>,
    context: &EvaluationContext<'_>,
) -> Vec<Event> {
    if total.is_some() {
        state.total = total;
    }
    // Another worker may not have known yet of the endpoint that was just back.
    let is_late = context.now.abs_diff(state.recovered_at) < SPREAD_MS;
    if state.empty_since.is_some() || is_late {
        return Vec::new();
    }
    state.empty_since = Some(context.now);
    let endpoints = state.endpoint_count();
    vec![Event::of_cluster(context.now, context.cluster, EventKind::NoHealthyUpstream { endpoints })]
}

/// Applies a worker's sums of charged attempts, by locality, since it last reported them at `since`.
pub fn add_traffic(
    state: &mut ClusterState,
    sums: &[(Locality, Count)],
    since: Millis,
    context: &EvaluationContext<'_>,
) {
    if !sums.is_empty() {
        state.counted.0 = context.now;
    }
    if sums.iter().any(|(_, count)| count.errors > 0) {
        state.counted.1 = context.now;
    }
    if !context.sees_successes {
        // These are failures only.
        return;
    }
    // Where Envoy's counts are fresh, they say which share goes where: they contain attempts that the filter does not
    // see.
    if !(context.has_witness && state.has_host_counts(context.now)) {
        add_to_shares(state, sums, since, context);
    } else if state.failover.is_none() && matches!(state.phase, Phase::Troubled { .. }) {
        sums.iter().for_each(|(locality, count)| state.localities.count_early(locality, *count, context.now));
    } else {
        sums.iter().for_each(|(locality, count)| state.localities.note_served(locality, *count, context.now));
    }
    add_to_failover(state, sums, since, context);
}

/// Adds sums of attempts, by locality, to the shares; they were counted since `since`.
fn add_to_shares(state: &mut ClusterState, sums: &[(Locality, Count)], since: Millis, context: &EvaluationContext<'_>) {
    let is_early = is_early(state, since);
    for (locality, count) in sums {
        if is_early {
            state.localities.count_early(locality, *count, context.now);
        } else {
            let length = context.failover.window.millis();
            state.localities.count(locality, *count, (since, context.now), length);
        }
    }
}

/// Whether sums that were begun at `since` hold traffic from before the present trouble, which would make its share too
/// small.
fn is_early(state: &ClusterState, since: Millis) -> bool {
    state.failover.is_none() && since < state.phase.since()
}

/// Adds what Envoy's counts of hosts have grown by to the shares; `is_unseen` if nothing else shows those attempts.
pub(super) fn add_listed_to_shares(
    state: &mut ClusterState,
    growth: &Growth,
    is_unseen: bool,
    context: &EvaluationContext<'_>,
) {
    // What is early is told by the workers' sums of the same attempts.
    if is_unseen || !is_early(state, growth.since) {
        add_to_shares(state, &growth.sums, growth.since, context);
    }
}

/// Adds a worker's sums of attempts, by locality, to what the failover, if there is one, took away from home.
fn add_to_failover(
    state: &mut ClusterState,
    sums: &[(Locality, Count)],
    since: Millis,
    context: &EvaluationContext<'_>,
) {
    let has_lists = context.has_witness && state.has_host_counts(context.now);
    if let Some(failover) = state.failover.as_mut().filter(|_| !has_lists) {
        failover.note_lists_lack();
    }
    each_away(state, sums, context, |failover, to, count| failover.count_away(to, count, since, context.now));
}

/// Adds what Envoy's counts of hosts have grown by to what the failover took away from home. If `is_unseen`, nothing
/// else shows when that was.
pub(super) fn count_listed(
    state: &mut ClusterState,
    growth: &Growth,
    is_unseen: bool,
    context: &EvaluationContext<'_>,
) {
    if let Some(failover) = state.failover.as_mut().filter(|_| growth.have_changed) {
        failover.note_lists_lack();
    }
    each_away(state, &growth.sums, context, |failover, to, count| {
        failover.count_listed(to, count);
        if is_unseen {
            failover.note_stay(to, count, growth.since, context.now);
        }
    });
}

fn each_away(
    state: &mut ClusterState,
    sums: &[(Locality, Count)],
    context: &EvaluationContext<'_>,
    count_in: impl Fn(&mut Active, &Locality, Count),
) {
    for (locality, count) in sums {
        let tier = state.localities.tier_of(locality, context.home);
        let is_away = |failover: &&mut Active| tier.is_some_and(|tier| tier > failover.home_tier());
        if let Some(failover) = state.failover.as_mut().filter(is_away) {
            count_in(failover, locality, *count);
        }
    }
}

/// Sets the number of endpoints that traffic shows in each locality; `left` has the hashes of endpoints that have left,
/// and `total` is Envoy's count of the cluster's endpoints, where known.
pub fn set_members(
    state: &mut ClusterState,
    total: Option<u32>,
    counts: &[(Locality, u32)],
    left: &[u32],
    context: &EvaluationContext<'_>,
) -> Vec<Event> {
    if context.has_witness && context.now.abs_diff(state.listed_at) < LIST_OUTWEIGHS_TRAFFIC_MS {
        return Vec::new();
    }
    state.total = total.or(state.total);
    state.localities.set_members(counts);
    let has_left = |endpoint: &Endpoint| left.contains(&endpoint_hash(&endpoint.address));
    let mut events = Vec::new();
    for index in state.endpoints.all() {
        if state.endpoints.get(index).is_some_and(has_left) {
            state.apply(index, &Evidence::Gone(Basis::Inferred), context, &mut events);
        }
    }
    state.endpoints.retain(|endpoint| !has_left(endpoint));
    events
}
