//! Compares Envoy's list of a cluster's hosts with what was concluded from traffic.
//!
//! The list decides. An ejection that it shows is reported with basis `witnessed`. One that it does not show is dropped
//! before it is reported or, if the threshold was certainly reached, becomes `ejection_blocked`. The list also shows
//! ejections that no attempt could show (by success rate, or from attempts that Envoy retried and the filter did not
//! see).
//!
//! An answer describes the state at some time after the question was sent. It does not contain what happened later.

use super::departures;
use super::endpoint::{Endpoint, count};
use super::failovers;
use super::host_totals::{Growth, is_late_list};
use super::input::EvaluationContext;
use super::members::endpoint_hash;
use super::on_ejection_counts::find_unseen;
use super::on_traffic::{add_listed_to_shares, count_listed};
use super::state::ClusterState;
use super::streaks;
use super::unseen_successes;
use crate::admin::endpoint_configs::EndpointConfig;
use crate::admin::host_lists::HostStatus;
use crate::endpoint::evidence::{Evidence, HostCounts, Listed};
use crate::event::Event;
use crate::time::Millis;

/// The interval between two questions while something is open and no change is expected, in milliseconds.
const OPEN_INTERVAL_MS: Millis = 1_000;

/// The interval between two questions while traffic has failed over and no change is expected, in milliseconds: that
/// home is whole again is told that late.
const AWAY_INTERVAL_MS: Millis = 400;

/// The interval between two questions while a change is likely, in milliseconds: an endpoint fails and may be ejected
/// for what the filter does not see, or an ejection is due and Envoy ends it with its next interval.
const CHANGE_INTERVAL_MS: Millis = 150;

/// The interval between two questions about a cluster in which all is well but which may change without an error, in
/// milliseconds.
const CALM_INTERVAL_MS: Millis = 1_000;

/// The longest interval between two questions where rates may eject, in milliseconds.
const RATES_INTERVAL_MS: Millis = 5_000;

/// For how long after its return an endpoint is watched closely, in milliseconds.
const JUST_RETURNED_MS: Millis = 2_000;

/// Without an attempt for this long, in milliseconds, nothing changes that an answer could show.
const RECENT_TRAFFIC_MS: Millis = 3_000;

/// The maximum number of unhealthy hosts, and of those listed twice, that are remembered one by one.
const MAX_UNHEALTHY: usize = 1_000;

/// Applies Envoy's list of the cluster's hosts, asked for at `asked`; `growth` is what they got since the last one.
pub fn on_host_list(
    state: &mut ClusterState,
    hosts: &[HostStatus],
    growth: &Growth,
    asked: Millis,
    context: &EvaluationContext<'_>,
) -> Vec<Event> {
    if is_late_list(asked, state.listed_asked) {
        return Vec::new();
    }
    let unhealthy = hosts.iter().filter(|host| !host.ejected && !host.healthy);
    state.unhealthy = unhealthy.take(MAX_UNHEALTHY).map(|host| endpoint_hash(&host.address)).collect();
    let repeated = hosts.iter().filter(|host| host.again > 0);
    state.repeated = repeated.take(MAX_UNHEALTHY).map(|host| endpoint_hash(&host.address)).collect();
    if growth.were_replaced {
        state.known_rule.ask_anew();
    }
    // Counts of several hosts under one address say little about one of them.
    let counts = |host: &HostStatus| HostCounts { requests: host.requests, errors: host.errors };
    let hosts: Vec<_> = hosts.iter().map(|host| (host, (host.again == 0).then(|| counts(host)))).collect();
    let mut events = Vec::new();
    apply_hosts(state, &hosts, asked, context, &mut events);
    // Mirrored requests and other protocols are in Envoy's counts only.
    let is_unseen = !context.sees_successes || !state.is_counted(context.now);
    if is_unseen {
        if !growth.sums.is_empty() {
            state.unseen_at = context.now;
        }
        // If the list shows trouble, what it counts is part of it.
        failovers::step(state, None, context, &mut events);
    }
    // Where the counts were not fresh, the filter's own sums of the time since then are in already.
    if state.has_host_counts(context.now) || is_unseen {
        add_listed_to_shares(state, growth, is_unseen, context);
    }
    count_listed(state, growth, is_unseen, context);
    if growth.sums.iter().any(|(_, count)| count.errors > 0) {
        state.counted.1 = context.now;
    }
    state.note_host_counts(growth.since, context.now);
    if !context.sees_successes {
        on_listed_traffic(state, growth, context, &mut events);
    }
    find_unseen(state, asked, context, &mut events);
    departures::settle(state, context, &mut events);
    failovers::step(state, None, context, &mut events);
    events
}

/// Takes in that Envoy's counts show attempts where the filter does not see those that succeeded.
fn on_listed_traffic(
    state: &mut ClusterState,
    growth: &Growth,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    if !growth.sums.is_empty() {
        state.counted.0 = context.now;
    }
    events.extend(on_served(state, growth, context));
}

/// Takes in that Envoy's counts show answers of the cluster, or of a member of an aggregate cluster.
pub fn on_served(state: &mut ClusterState, growth: &Growth, context: &EvaluationContext<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    if state.empty_since.is_some_and(|since| growth.is_served() && growth.since > since) {
        state.recover(context, &mut events);
    }
    events
}

/// Takes in which hosts of an aggregate cluster belong to its members, by the hashes of their addresses in order. What
/// was counted of them before that was known would never end here: their attempts are the members' from now on.
pub fn on_owned(state: &mut ClusterState, owned: &[u32]) {
    let is_owned = |endpoint: &Endpoint| owned.binary_search(&endpoint_hash(&endpoint.address)).is_ok();
    state.endpoints.retain(|endpoint| endpoint.is_ejected() || !is_owned(endpoint));
}

/// Applies the cluster's endpoints as the balancer uses them, asked for at `asked`. Also returns whether that decides
/// all: an endpoint that is newly out of rotation, or longer than its ejection lasts, may be ejected or unhealthy. Only
/// [`on_host_list`] can tell.
pub fn on_endpoint_configs(
    state: &mut ClusterState,
    endpoints: &[EndpointConfig],
    asked: Millis,
    context: &EvaluationContext<'_>,
) -> (Vec<Event>, bool) {
    state.endpoints.all();
    let mut is_decided = true;
    let mut hosts = Vec::new();
    for endpoint in endpoints {
        let known = state.endpoints.position(&endpoint.address).and_then(|index| state.endpoints.get(index));
        let is_ejected = known.is_some_and(Endpoint::is_ejected);
        // When its ejection must be over, it is out for another reason, or again.
        let ejection = known.and_then(|known| known.rotation.ejection());
        let is_still_ejected = ejection.is_some_and(|ejection| asked <= ejection.surely_over(context.outlier));
        let is_unhealthy = state.unhealthy.contains(&endpoint_hash(&endpoint.address));
        is_decided &= endpoint.in_rotation || is_still_ejected || (is_unhealthy && !is_ejected);
        hosts.push(HostStatus {
            address: endpoint.address.clone(),
            locality: endpoint.locality.clone(),
            priority: endpoint.priority,
            ejected: !endpoint.in_rotation && is_ejected,
            healthy: endpoint.in_rotation || !is_unhealthy,
            degraded: endpoint.degraded,
            ..HostStatus::default()
        });
    }
    let mut events = Vec::new();
    if is_decided && !is_late_list(asked, state.listed_asked) {
        let hosts: Vec<_> = hosts.iter().map(|host| (host, None)).collect();
        apply_hosts(state, &hosts, asked, context, &mut events);
        departures::settle(state, context, &mut events);
        failovers::step(state, None, context, &mut events);
    }
    (events, is_decided)
}

/// Applies hosts, each with its counts if these are known.
fn apply_hosts(
    state: &mut ClusterState,
    hosts: &[(&HostStatus, Option<HostCounts>)],
    asked: Millis,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    state.total = u32::try_from(hosts.len()).ok();
    let previous = std::mem::replace(&mut state.listed_asked, asked);
    state.listed_at = context.now;
    state.admin_view_stale = false;
    state.localities.set_hosts(hosts.iter().map(|(host, _)| *host), context.now);
    if state.failover.is_none() {
        let differ = state.localities.nearest_differ_by_priority(context.proxy_home);
        state.ranks_by_priority = differ.unwrap_or(state.ranks_by_priority);
    }
    departures::take_in(state, hosts, asked, context, events);
    state.note_panic(context);
    // Ejected hosts first, so that the percent cap is known when the others are evaluated.
    let (ejected, others): (Vec<_>, Vec<_>) = hosts.iter().partition(|(host, _)| host.ejected);
    let cluster_ejected = state.endpoints.ejected().max(count(ejected.iter()));
    for (host, counts) in ejected.into_iter().chain(others) {
        let listed = Listed { ejected: host.ejected, asked, previous, counts, cluster_ejected };
        reconcile_host(state, host, listed, context, events);
    }
}

fn reconcile_host(
    state: &mut ClusterState,
    host: &HostStatus,
    listed: Listed,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let index = match state.endpoints.position(&host.address) {
        Some(index) => index,
        None if !host.ejected => return,
        None => match state.endpoints.add(&host.address, &host.locality, None, context.now) {
            Some(index) => index,
            None => return,
        },
    };
    let Some(endpoint) = state.endpoints.get_mut(index) else { return };
    if host.ejected
        && endpoint.rotation.is_ejection_news(listed.asked)
        && let Some(crossing) = endpoint.detector.confirm(context.outlier)
    {
        streaks::confirm(state, index, crossing, context, events);
    }
    let is_counted = !context.sees_successes && listed.counts.is_some();
    if is_counted {
        unseen_successes::take_in(state, index, (host, listed.asked), context, events);
    }
    if !host.ejected {
        // Its cause can no longer be found: what waits for it is reported before the return.
        state.apply(index, &Evidence::Cause(None), context, events);
    }
    state.apply(index, &Evidence::Listed(listed), context, events);
    if is_counted {
        unseen_successes::decide_by_list(state, index, listed.asked, context, events);
    }
}

/// In how many milliseconds Envoy should be asked again. At once if a threshold was reached, an ejection is just due to
/// end, or traffic has shown more than the last answer; `None` if nothing is open that an answer could decide.
pub fn ask_again_in(state: &mut ClusterState, context: &EvaluationContext<'_>) -> Option<Millis> {
    let now = context.now;
    if is_list_outdated(state, now) {
        return Some(0);
    }
    state.endpoints.all();
    let of_endpoints = state.endpoints.iter().filter_map(|endpoint| wait_for(endpoint, now)).min();
    // A failover is over when home is whole, whether or not requests come.
    let interval = match state.is_counted(now) {
        // Nothing else shows when traffic goes away, and when no more does. What hosts got since the last list is not
        // known once they have left.
        _ if is_recent(state.unseen_at, now) => CHANGE_INTERVAL_MS,
        true if !context.sees_successes => CHANGE_INTERVAL_MS,
        true => AWAY_INTERVAL_MS,
        false => OPEN_INTERVAL_MS.saturating_mul(5),
    };
    let of_failover = state.is_away().then_some(interval);
    // Envoy ejects by rates at each of its intervals, whatever the last attempt was. A passed check may end that soon.
    let longest = if state.ends_early { CHANGE_INTERVAL_MS } else { RATES_INTERVAL_MS };
    let each = (context.rule.interval_millis / 3).clamp(CHANGE_INTERVAL_MS, longest);
    let of_rates = may_eject_by_rate(state, context).then_some(each);
    of_endpoints.into_iter().chain(of_failover).chain(of_rates).min()
}

/// Whether Envoy should be asked again at once, as [`ask_again_in`] has it.
pub fn asks_at_once(state: &ClusterState, context: &EvaluationContext<'_>) -> bool {
    let now = context.now;
    is_list_outdated(state, now)
        || state.endpoints.opened().iter().any(|endpoint| wait_for(endpoint, now) == Some(0))
        || state.endpoints.any_closed_is_due(now.saturating_sub(OPEN_INTERVAL_MS), now)
}

/// Whether traffic or Envoy's count has shown more than its list.
fn is_list_outdated(state: &ClusterState, now: Millis) -> bool {
    let just_counted = now.abs_diff(state.counts.answer_asked) < OPEN_INTERVAL_MS;
    state.admin_view_stale || (state.counts.unseen() > 0 && just_counted)
}

/// Whether rates eject, and there were errors lately.
fn may_eject_by_rate(state: &ClusterState, context: &EvaluationContext<'_>) -> bool {
    let (_, errors) = state.counted;
    context.rule.by_rate && context.now.abs_diff(errors) < context.rule.interval_millis.saturating_mul(3)
}

fn wait_for(endpoint: &Endpoint, now: Millis) -> Option<Millis> {
    match endpoint.rotation.ejection() {
        _ if endpoint.rotation.is_undecided() => Some(0),
        _ if endpoint.reported.held.is_some() => Some(CHANGE_INTERVAL_MS),
        Some(ejection) if now < ejection.due => Some(ejection.due.saturating_sub(now).min(OPEN_INTERVAL_MS)),
        Some(ejection) if now.saturating_sub(ejection.due) < OPEN_INTERVAL_MS => Some(0),
        Some(_) => Some(CHANGE_INTERVAL_MS),
        // One that still fails is ejected again at once, which no request may show.
        None if now.saturating_sub(endpoint.rotation.returned_at()) < JUST_RETURNED_MS => Some(CHANGE_INTERVAL_MS),
        // Without traffic, a streak ejects nobody.
        None if !endpoint.detector.is_failing() || !is_recent(endpoint.seen, now) => None,
        None if now.saturating_sub(endpoint.seen) < OPEN_INTERVAL_MS => Some(CHANGE_INTERVAL_MS),
        None => Some(OPEN_INTERVAL_MS),
    }
}

fn is_recent(at: Millis, now: Millis) -> bool {
    now.abs_diff(at) < RECENT_TRAFFIC_MS
}

/// Whether Envoy should be asked for the cluster's list although nothing is open. With several localities, an endpoint
/// that Envoy considers unhealthy moves traffic without any failed request; where rates eject, no streak shows it.
pub fn wants_list(state: &ClusterState, longest: Millis, context: &EvaluationContext<'_>) -> bool {
    let (attempts, _) = state.counted;
    let now = context.now;
    let may_eject_by_rate = may_eject_by_rate(state, context);
    let wait = match state.localities.are_several() || may_eject_by_rate {
        true => CALM_INTERVAL_MS,
        false => CALM_INTERVAL_MS.saturating_mul(10),
    };
    (is_recent(attempts, now) || may_eject_by_rate) && now.abs_diff(state.listed_at) >= wait.min(longest)
}
