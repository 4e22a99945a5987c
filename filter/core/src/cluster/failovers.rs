//! The cluster's failover: computes its home and its traffic as they are now, and lets [`crate::failover`] take the
//! next step.

use super::input::EvaluationContext;
use super::state::ClusterState;
use crate::endpoint::reason::Basis;
use crate::event::{Event, EventKind};
use crate::failover::{self, Active, Before, Count, Home, Phase, Traffic, Usual};
use crate::locality::{Locality, Tier};
use crate::time::Millis;

/// Without an answer from Envoy for this long, in milliseconds, calm is concluded from traffic alone.
const LIST_CONFIRMS_MS: Millis = 120_000;

/// Lets the failover take its next step; `answered` is the locality that has just answered an attempt, if there is one.
pub(super) fn step(
    state: &mut ClusterState,
    answered: Option<&Locality>,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let home = home(state, context);
    if home.is_none() && state.failover.is_none() {
        state.is_home_lost = false;
        // Nothing is known of the cluster, or not which of its localities is home.
        return;
    }
    // Priorities are certain, also when they become known in the middle of a failover.
    if let Some(home) = home.as_ref().filter(|home| state.localities.prefers_home(home.tier, context.home)) {
        state.usual = Usual::Nothing(home.tier);
    }
    if let Some(home) = home.as_ref().filter(|_| state.failover.is_none()) {
        enter_phase(state, home, context);
        observe_usual(state, home, context);
    }
    state.is_home_lost = home.as_ref().is_some_and(|home| home.is_lost() && home.has_refuge);
    let nearest = home.as_ref().map_or(Tier::Elsewhere, |home| home.tier);
    let home_tier = state.failover.as_ref().map_or(nearest, Active::home_tier);
    let traffic = traffic(state, home_tier, context);
    let answered = answered.and_then(|to| Some((to, state.localities.tier_of(to, context.home)?)));
    let usual = state.usual.of(home_tier);
    let seen = seen_before(state, (home_tier, usual), &traffic, context);
    let listed = listed_before(state, home_tier, &traffic, context);
    let before = Before { seen: &seen, listed: &listed };
    let by_lists = context.has_witness && state.has_host_counts(context.now);
    let step_context = failover::StepContext {
        now: context.now,
        troubled_since: state.phase.since(),
        usual,
        is_current: !by_lists || state.host_counts_at == context.now,
        before,
    };
    let away = answered.filter(|(_, tier)| *tier > home_tier);
    let step = failover::step(&mut state.failover, home.as_ref(), &traffic, away, context.failover, step_context);
    let Some(kind) = step else { return };
    if state.failover_home.is_none() {
        state.failover_home = Some(context.home.clone());
    }
    if state.failover.is_none() {
        state.failover_home = None;
        // What is usual is measured afresh from here on.
        state.phase = Phase::Unknown;
        state.localities.clear_windows();
    }
    let basis = Some(Basis::Inferred);
    events.push(Event { basis, ..Event::of_cluster(context.now, context.cluster, by_names(kind, context.home)) });
}

/// What went away from home since the trouble began, by Envoy's counts.
fn listed_before(
    state: &ClusterState,
    home_tier: Tier,
    traffic: &Traffic,
    context: &EvaluationContext<'_>,
) -> Vec<(Locality, Tier, Count)> {
    if !context.sees_successes {
        // The early ones are Envoy's counts too.
        return [traffic.away.clone(), state.localities.early(home_tier, context.home)].concat();
    }
    if state.has_host_counts(context.now) { traffic.away.clone() } else { Vec::new() }
}

/// What went away from home since the trouble began, in workers' sums that have been reported.
fn seen_before(
    state: &ClusterState,
    (home_tier, usual): (Tier, Usual),
    traffic: &Traffic,
    context: &EvaluationContext<'_>,
) -> Vec<(Locality, Tier, Count)> {
    let early = state.localities.early(home_tier, context.home);
    if context.has_witness && state.has_host_counts(context.now) {
        // The windows hold Envoy's counts, of attempts that are also in sums yet to come. Sums of calm times are those
        // of a sample, so that Envoy's counts are the most that they stand for. What is older than the windows went
        // away before the failover.
        let is_new = context.now.saturating_sub(state.phase.since()) <= context.failover.window.millis();
        let in_window = |(locality, tier, count): (Locality, Tier, Count)| {
            let window = traffic.away.iter().find(|(known, _, _)| *known == locality).map(|(_, _, window)| *window);
            let most = window.or(is_new.then_some(count))?;
            let (attempts, errors) = (count.attempts.min(most.attempts), count.errors.min(most.errors));
            Some((locality, tier, Count { attempts, errors }))
        };
        return early.into_iter().filter_map(in_window).collect();
    }
    // The early sums hold calm traffic too, of which nothing goes away where nothing usually does.
    let early = if usual.share() == 0.0 { early } else { Vec::new() };
    [traffic.away.clone(), early].concat()
}

/// The cluster's home; `None` also if the failover's home is none any more.
fn home(state: &ClusterState, context: &EvaluationContext<'_>) -> Option<Home> {
    if state.localities.are_alike(context.home) {
        return None;
    }
    let home = state.localities.home(&state.endpoints, context.home, state.total, context.now)?;
    // Where only priorities tell home from away, a control plane that numbers them anew moves home.
    let has_moved = |active: &Active| {
        let (from, _) = active.route();
        context.home.is_unknown() && state.localities.tier_of(from, context.home) != Some(active.home_tier())
    };
    Some(home).filter(|_| !state.failover.as_ref().is_some_and(has_moved))
}

/// Notes whether home is calm or in trouble. From a change on, shares are measured afresh.
fn enter_phase(state: &mut ClusterState, home: &Home, context: &EvaluationContext<'_>) {
    let before = state.phase;
    state.phase = before.next(home, context.now);
    let is_first_calm = before == Phase::Unknown && matches!(state.phase, Phase::Calm { .. });
    if before != state.phase && !is_first_calm {
        state.localities.clear_windows();
    }
}

/// In calm times, takes what goes away from home as usual.
fn observe_usual(state: &mut ClusterState, home: &Home, context: &EvaluationContext<'_>) {
    let Phase::Calm { since } = state.phase else { return };
    if state.localities.prefers_home(home.tier, context.home) {
        return;
    }
    // Where Envoy is asked, trouble is known only from its next answer: what came since the last may be part of it.
    let is_silent = context.now.abs_diff(state.listed_at) > LIST_CONFIRMS_MS;
    if context.has_witness && state.listed_at != context.now && !is_silent {
        return;
    }
    let (traffic, rules) = (traffic(state, home.tier, context), context.failover);
    state.usual.measure(home.tier, &traffic, rules.min_requests, rules.window.millis(), (since, context.now));
}

/// Tells the tier by the localities' names where home is known only by priorities.
fn by_names(mut kind: EventKind, home: &Locality) -> EventKind {
    if let EventKind::FailoverStarted(route) | EventKind::FailoverChanged { route, .. } = &mut kind
        && home.is_unknown()
    {
        route.tier = route.to.tier_from(&route.from);
    }
    kind
}

fn traffic(state: &ClusterState, home_tier: Tier, context: &EvaluationContext<'_>) -> Traffic {
    state.localities.traffic(home_tier, context.home, context.now, context.failover.window.millis())
}
