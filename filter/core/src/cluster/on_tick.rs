//! What happens with time alone: ejections that must be over, conclusions that get no answer from Envoy, a failover
//! that changes or ends, endpoints to forget.

use super::departures;
use super::failovers;
use super::input::EvaluationContext;
use super::on_ejection_counts::release_overdue;
use super::state::ClusterState;
use super::streaks;
use crate::endpoint::evidence::Evidence;
use crate::event::Event;
use crate::time::Millis;

/// An endpoint that has had no traffic for this long, in milliseconds, is forgotten with its streaks: it is probably
/// gone.
const FORGET_AFTER_MS: Millis = 3_600_000;

/// While Envoy answers, a list of the cluster this old is still waited for before the clock ends an ejection, in
/// milliseconds: there may be much to ask.
const LIST_TOO_OLD_MS: Millis = 15_000;

/// Applies the passing of time to the cluster.
pub fn on_tick(state: &mut ClusterState, context: &EvaluationContext<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    departures::settle(state, context, &mut events);
    state.note_panic(context);
    // With a witness, Envoy's answers show when an ejection is over; if they are missing for long, the clock decides.
    let answered = context.has_witness && context.now.abs_diff(state.listed_at) < LIST_TOO_OLD_MS;
    for index in state.endpoints.all() {
        if !answered {
            state.apply(index, &Evidence::Clock, context, &mut events);
        }
        let now = context.now.saturating_mul(1_000);
        let Some(endpoint) = state.endpoints.get_mut(index) else { continue };
        if let Some(crossing) = endpoint.detector.take_confirmed(now, context.outlier) {
            streaks::confirm(state, index, crossing, context, &mut events);
        }
    }
    if !context.has_witness {
        state.localities.forget_health();
        state.counts.reset();
    }
    for index in state.endpoints.all() {
        state.apply(index, &Evidence::AnswerMissing, context, &mut events);
    }
    release_overdue(state, context, &mut events);
    let is_recent = |seen: Millis| context.now.saturating_sub(seen) < FORGET_AFTER_MS;
    state.endpoints.retain(|endpoint| endpoint.is_ejected() || is_recent(endpoint.seen));
    failovers::step(state, None, context, &mut events);
    events
}
