//! Compares Envoy's list of a cluster's hosts with what was concluded from traffic.
//!
//! The list decides. An ejection that it shows is reported with basis `witnessed`. One that it does not show is dropped
//! before it is reported or, if the threshold was certainly reached, becomes `ejection_blocked`. The list also shows
//! ejections that no attempt could show (by success rate, or from attempts that Envoy retried and the filter did not
//! see).
//!
//! An answer describes the state at some time after the question was sent. It does not contain what happened later.

use super::endpoint::{Endpoint, count};
use super::failovers;
use super::input::EvaluationContext;
use super::on_ejection_counts::find_unseen;
use super::state::ClusterState;
use super::streaks;
use crate::admin::host_lists::HostStatus;
use crate::endpoint::evidence::{Evidence, Listed};
use crate::endpoint::reason::Basis;
use crate::event::Event;
use crate::time::Millis;

/// The interval between two questions while something is open and no change is expected, in milliseconds.
const OPEN_INTERVAL_MS: Millis = 1_000;

/// The interval between two questions while a change is likely, in milliseconds: an endpoint fails and may be ejected
/// for what the filter does not see, or an ejection is due and Envoy ends it with its next interval.
const CHANGE_INTERVAL_MS: Millis = 150;

/// Applies Envoy's list of the cluster's hosts, asked for at `asked`.
pub fn on_host_list(
    state: &mut ClusterState,
    hosts: &[HostStatus],
    asked: Millis,
    context: &EvaluationContext<'_>,
) -> Vec<Event> {
    let mut events = Vec::new();
    state.total = u32::try_from(hosts.len()).ok();
    state.listed_at = context.now;
    state.admin_view_stale = false;
    state.localities.set_hosts(hosts);
    remove_gone(state, hosts, asked, context, &mut events);
    state.note_panic(context);
    // Ejected hosts first, so that the percent cap is known when the others are evaluated.
    let (ejected, others): (Vec<_>, Vec<_>) = hosts.iter().partition(|host| host.ejected);
    let cluster_ejected = state.endpoints.ejected().max(count(ejected.iter()));
    for host in ejected.into_iter().chain(others) {
        let listed = Listed { ejected: host.ejected, asked, requests: Some(host.requests), cluster_ejected };
        reconcile_host(state, host, listed, context, &mut events);
    }
    find_unseen(state, asked, context, &mut events);
    failovers::step(state, None, context, &mut events);
    events
}

/// Ends the past of endpoints that left the cluster, and of those whose address has another host: one whose count of
/// requests is smaller, or that lies in another locality. An endpoint that was seen since the list was asked for may be
/// new.
fn remove_gone(
    state: &mut ClusterState,
    hosts: &[HostStatus],
    asked: Millis,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    for index in 0..state.endpoints.len() {
        let Some(endpoint) = state.endpoints.get(index) else { continue };
        let host = hosts.iter().find(|host| host.address == endpoint.address);
        let is_another = |host: &HostStatus| {
            endpoint.rotation.is_of_another_host(Some(host.requests))
                || (endpoint.locality != host.locality
                    && !endpoint.locality.is_unknown()
                    && !host.locality.is_unknown())
        };
        match host {
            Some(host) if is_another(host) => {
                state.apply(index, &Evidence::Gone(Basis::Witnessed), context, events);
                if let Some(endpoint) = state.endpoints.get_mut(index) {
                    endpoint.start_over(&host.locality);
                }
            }
            None if endpoint.seen < asked => {
                state.apply(index, &Evidence::Gone(Basis::Witnessed), context, events);
            }
            _ => {}
        }
    }
    state
        .endpoints
        .retain(|endpoint| endpoint.seen >= asked || hosts.iter().any(|host| host.address == endpoint.address));
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
    if !host.ejected {
        // Its cause can no longer be found: what waits for it is reported before the return.
        state.apply(index, &Evidence::Cause(None), context, events);
    }
    state.apply(index, &Evidence::Listed(listed), context, events);
}

/// In how many milliseconds Envoy should be asked again. At once if a threshold was reached, an ejection is just due to
/// end, or traffic has shown more than the last answer; `None` if nothing is open that an answer could decide.
pub fn ask_again_in(state: &ClusterState, now: Millis) -> Option<Millis> {
    let just_counted = now.abs_diff(state.counts.answer_asked) < OPEN_INTERVAL_MS;
    if state.admin_view_stale || (state.counts.unseen() > 0 && just_counted) {
        return Some(0);
    }
    state.endpoints.iter().filter_map(|endpoint| wait_for(endpoint, now)).min()
}

fn wait_for(endpoint: &Endpoint, now: Millis) -> Option<Millis> {
    match endpoint.rotation.ejection() {
        _ if endpoint.rotation.is_undecided() => Some(0),
        Some(ejection) if now < ejection.due => Some(ejection.due.saturating_sub(now).min(OPEN_INTERVAL_MS)),
        Some(ejection) if now.saturating_sub(ejection.due) < OPEN_INTERVAL_MS => Some(0),
        Some(_) => Some(CHANGE_INTERVAL_MS),
        None if !endpoint.detector.is_failing() => None,
        None if now.saturating_sub(endpoint.seen) < OPEN_INTERVAL_MS => Some(CHANGE_INTERVAL_MS),
        None => Some(OPEN_INTERVAL_MS),
    }
}
