//! The cluster's failover: computes its home and its traffic as they are now, and lets [`crate::failover`] take the
//! next step.

use super::input::EvaluationContext;
use super::state::ClusterState;
use crate::endpoint::reason::Basis;
use crate::event::Event;
use crate::failover::{self, Active, Traffic};
use crate::locality::{Locality, Tier};

/// Lets the failover take its next step; `served` is the locality that has just served an attempt, if there is one.
pub(super) fn step(
    state: &mut ClusterState,
    served: Option<&Locality>,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    if context.home.is_unknown() {
        // Without a home, no locality is near or far.
        return;
    }
    let home = state.localities.home(&state.endpoints, context.home);
    let home_tier = home.as_ref().map_or(Tier::Elsewhere, |home| home.tier);
    state.troubled_since = match home.as_ref().is_some_and(|home| home.troubled) {
        false => None,
        true if state.troubled_since.is_some() => state.troubled_since,
        true => {
            // Shares are measured afresh from here on: traffic from before the trouble does not show what the trouble
            // moves.
            let before = traffic(state, home_tier, context);
            state.baseline_spill_permille = before.away_permille(context.failover.min_requests);
            state.localities.clear_windows();
            Some(context.now)
        }
    };
    let traffic = traffic(state, state.failover.as_ref().map_or(home_tier, Active::home_tier), context);
    let served = served.map(|to| (to, to.tier_from(context.home))).filter(|(_, tier)| *tier > home_tier);
    let step_context = failover::StepContext {
        now: context.now,
        troubled_since: state.troubled_since.unwrap_or(context.now),
        baseline_spill_permille: state.baseline_spill_permille,
    };
    let step = failover::step(&mut state.failover, home.as_ref(), &traffic, served, context.failover, step_context);
    if let Some(kind) = step {
        let basis = Some(Basis::Inferred);
        events.push(Event { basis, ..Event::of_cluster(context.now, context.cluster, kind) });
    }
}

fn traffic(state: &ClusterState, home_tier: Tier, context: &EvaluationContext<'_>) -> Traffic {
    state.localities.traffic(home_tier, context.home, context.now, context.failover.window.millis())
}
