//! Endpoints that left the cluster, and those whose address has another host: their past ends.
//!
//! An endpoint whose ejection was due to end may have been back, and been ejected again, just before it left. That it
//! left as an ejected one is inferred then. Where Envoy counts ejections, its departure is held back until a count that
//! was asked for later has been compared.

use super::endpoint::Endpoint;
use super::input::EvaluationContext;
use super::state::ClusterState;
use crate::admin::host_lists::HostStatus;
use crate::endpoint::evidence::{Evidence, HostCounts};
use crate::endpoint::reason::Basis;
use crate::event::Event;
use crate::time::Millis;

/// How long a departure waits for Envoy's count, in milliseconds.
const COUNT_WAIT_MS: Millis = 500;

/// Takes in which endpoints are not in a list, asked for at `asked`, and which addresses have another host: one whose
/// counts are smaller, or that lies in another locality. An endpoint that was seen since the list was asked for may be
/// new.
pub(super) fn take_in(
    state: &mut ClusterState,
    hosts: &[(&HostStatus, Option<HostCounts>)],
    asked: Millis,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let keeps_counts = state.counts.is_kept();
    for index in state.endpoints.all() {
        let Some(endpoint) = state.endpoints.get_mut(index) else { continue };
        let host = hosts.iter().find(|(host, _)| host.address == endpoint.address);
        match host {
            Some((host, counts)) if endpoint.left.is_some() || is_another(endpoint, host, *counts) => {
                let gone = Evidence::Gone(basis(endpoint, asked));
                state.apply(index, &gone, context, events);
                if let Some(endpoint) = state.endpoints.get_mut(index) {
                    endpoint.start_over(&host.locality);
                }
            }
            None if endpoint.seen >= asked && endpoint.left.is_none() => {}
            None if keeps_counts && may_have_been_back(endpoint, asked) => {
                endpoint.left.get_or_insert(asked);
            }
            None => {
                let gone = Evidence::Gone(basis(endpoint, asked));
                state.apply(index, &gone, context, events);
            }
            _ => {}
        }
    }
    let is_listed = |endpoint: &Endpoint| hosts.iter().any(|(host, _)| host.address == endpoint.address);
    state.endpoints.retain(|endpoint| endpoint.left.is_some() || endpoint.seen >= asked || is_listed(endpoint));
}

/// Ends what was held back, once a count that was asked for later has been compared, or did not come.
pub(super) fn settle(state: &mut ClusterState, context: &EvaluationContext<'_>, events: &mut Vec<Event>) {
    let (counted, is_kept) = (state.counts.answer_asked, state.counts.is_kept());
    let is_settled = |endpoint: &Endpoint| {
        endpoint.left.is_some_and(|left| !is_kept || counted >= left || context.now.abs_diff(left) > COUNT_WAIT_MS)
    };
    for index in state.endpoints.all() {
        if let Some(endpoint) = state.endpoints.get(index).filter(|endpoint| is_settled(endpoint)) {
            let gone = Evidence::Gone(basis(endpoint, endpoint.left.unwrap_or(context.now)));
            state.apply(index, &gone, context, events);
        }
    }
    state.endpoints.retain(|endpoint| !is_settled(endpoint));
}

/// Whether a departure waits for a count that was asked for after `counted`.
pub(super) fn awaits_count(endpoint: &Endpoint, counted: Millis) -> bool {
    endpoint.left.is_some_and(|left| left > counted)
}

fn is_another(endpoint: &Endpoint, host: &HostStatus, counts: Option<HostCounts>) -> bool {
    endpoint.rotation.is_of_another_host(counts)
        || (host.again == 0
            && endpoint.locality != host.locality
            && !endpoint.locality.is_unknown()
            && !host.locality.is_unknown())
}

/// How it is known that the endpoint, which a list asked for at `asked` shows as gone, was ejected to the end.
fn basis(endpoint: &Endpoint, asked: Millis) -> Basis {
    if may_have_been_back(endpoint, asked) { Basis::Inferred } else { Basis::Witnessed }
}

/// Whether the last list that showed it ejected left open that it had been back, or its ejection was due since.
fn may_have_been_back(endpoint: &Endpoint, asked: Millis) -> bool {
    endpoint.rotation.ejection().is_some_and(|ejection| ejection.due <= asked)
}
