//! Whether an endpoint is in rotation, as one state machine: evidence in, transitions out.
//!
//! | state | evidence | becomes | transitions |
//! |---|---|---|---|
//! | in, suspected, awaiting cause | a threshold that ejects; nobody to ask | ejected, or capped | ejected (inferred) |
//! | in | a threshold, certain or not; Envoy can be asked | suspected | |
//! | suspected, awaiting cause | another threshold; Envoy can be asked | the same, of mixed kinds | |
//! | suspected, awaiting cause | its unconfirmed streak is broken | without that suspicion | |
//! | suspected, awaiting cause | its streak is doubtful | without that suspicion | |
//! | suspected | the list shows it in rotation, late enough | in | refuted; blocked if that is certain |
//! | in, suspected of mixed kinds | the list shows it ejected; Envoy keeps counts | awaiting cause | |
//! | in, suspected | the list shows it ejected, and no count can tell more | ejected | ejected (witnessed) |
//! | in, suspected, awaiting cause | the list is older than its last return | the same | view is stale |
//! | suspected | no answer for long | ejected, or in if capped | ejected (inferred) |
//! | awaiting cause | no answer for long | ejected, or without the suspicion if capped | ejected (inferred) |
//! | awaiting cause | the count, or a list or the clock when none can come | ejected | ejected (witnessed) |
//! | ejected | a threshold | the same | |
//! | ejected | the balancer chose it; nobody to ask | in | returned (inferred) |
//! | ejected | the balancer chose it; Envoy can be asked | the same | view is stale |
//! | ejected | a list from after the ejection shows it in rotation | in | returned (witnessed) |
//! | ejected | the list still shows it ejected past its time; Envoy keeps counts | to be rechecked | |
//! | ejected | the same; no counts, but requests | ejected | returned, ejected (inferred) |
//! | any | it left the cluster, or its address has another host | in, without a past | removed, if it was ejected |
//! | awaiting cause | the same | in, without a past | ejected (witnessed), removed |
//! | any | a threshold, where no streak ejects | the same | |
//! | ejected | the count proves another ejection | ejected | returned (inferred), ejected (witnessed) |
//! | ejected, to be rechecked | the count shows no other ejection | not to be rechecked | |
//! | ejected | its time is over by the clock, and there is no recent answer | in | returned (inferred) |
//!
//! What a transition means for logs and metrics, and what was already logged, is decided by the cluster
//! ([`crate::cluster`]).

use super::ejection::{Backoff, Ejection};
use super::evidence::{ANSWER_WAIT_MS, Evidence, HostCounts, Listed, RotationContext, Transition};
use super::reason::{Basis, BlockedReason, EjectReason};
use super::rule::Rule;
use super::streak::StreakKind;
use crate::config::OutlierDetection;
use crate::encoded;
use crate::time::Millis;

/// An attempt that starts this long after an ejection was not in progress when it happened, in milliseconds. Envoy
/// spreads a change of health to its workers at once or, when changes follow each other, within its
/// `update_merge_window` of one second.
const IN_FLIGHT_MS: Millis = 1_500;

/// A list asked for this long after a threshold was reached shows the ejection, in milliseconds: Envoy ejects on its
/// main thread within milliseconds.
const EJECTS_WITHIN_MS: Millis = 100;

/// How long an ejection waits for the count that shows its cause, in milliseconds.
const CAUSE_WAIT_MS: Millis = 100;

/// How much later than [`Ejection::surely_over`] an overloaded main thread may return an endpoint, in milliseconds.
const OVERLOADED_MS: Millis = 1_000;

/// A threshold that was reached, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    kind: StreakKind,
    since: Millis,
    /// Endpoints of the cluster that were ejected at that time.
    ejected: u32,
    /// Whether the streak had reached the threshold before, unbroken.
    repeated: bool,
    /// Whether a streak of another kind reached its threshold since. Then Envoy may have ejected for either.
    mixed: bool,
}

encoded!(struct Suspicion { kind, since, ejected, repeated, mixed });

/// Whether an endpoint is in rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    In,
    /// A threshold was reached, and Envoy is asked whether it ejected the endpoint.
    Suspected(Suspicion),
    /// Envoy has listed it as ejected since that time, and is asked for its count of ejections, which shows the cause.
    AwaitingCause { since: Millis, suspicion: Option<Suspicion> },
    /// Ejected. `recheck` holds the first and last time Envoy was asked and still listed the endpoint as ejected
    /// although it may have been back in between.
    Ejected { ejection: Ejection, recheck: Option<(Millis, Millis)> },
}

encoded!(enum State {
    0 => In, 1 => Suspected(suspicion), 2 => AwaitingCause { since, suspicion }, 3 => Ejected { ejection, recheck },
});

/// How many requests Envoy had sent to the endpoint, and when that was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Requests {
    count: u64,
    asked: Millis,
}

encoded!(struct Requests { count, asked });

/// The rotation of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    state: State,
    backoff: Backoff,
    /// Ejections since the endpoint became known.
    ejections: u32,
    /// The requests in the last list that was asked for before the ejection time was over.
    requests: Requests,
    /// The counts in the last list.
    last_counts: HostCounts,
    /// When the last list was asked for that showed it in rotation; 0 if none did.
    in_rotation_at: Millis,
}

encoded!(struct Rotation { state, backoff, ejections, requests, last_counts, in_rotation_at });

impl Rotation {
    /// Applies evidence about the endpoint; returns the new state and what changed.
    pub fn apply(mut self, evidence: &Evidence, context: &RotationContext<'_>) -> (Self, Vec<Transition>) {
        let mut changes = Vec::new();
        match *evidence {
            Evidence::Threshold { .. } | Evidence::UnconfirmedThreshold { .. } if !context.rule.ejects => {}
            Evidence::Threshold { kind, first, .. } | Evidence::UnconfirmedThreshold { kind, first }
                if context.has_witness =>
            {
                self.suspect(kind, first, context);
            }
            Evidence::Threshold { kind, at, .. }
                if context.rule.surely_ejects(kind) && !context.is_capped(context.cluster.ejected()) =>
            {
                self.eject(kind.eject_reason(), Basis::Inferred, (at, at), context, &mut changes);
            }
            Evidence::Threshold { .. } | Evidence::UnconfirmedThreshold { .. } => {}
            Evidence::StreakBroken => self.drop_suspicion(|suspicion| suspicion.kind == StreakKind::LocalOrigin),
            Evidence::StreakDoubtful => self.drop_suspicion(|_| true),
            Evidence::Attempt { started } if self.shows_return(started, context) => {
                changes.push(Transition::ViewStale);
                if !context.has_witness {
                    changes.clear();
                    self.uneject(Basis::Inferred, 0, context, &mut changes);
                }
            }
            Evidence::Attempt { .. } => {}
            Evidence::Listed(listed) => self.on_listed(&listed, context, &mut changes),
            Evidence::Gone(basis) => {
                // Envoy has listed it as ejected: that is told without the cause.
                self.explain(None, context, &mut changes);
                self.remove(basis, &mut changes);
            }
            Evidence::Cause(reason) => self.explain(reason, context, &mut changes),
            // That one was ejected Envoy has counted; which one is concluded.
            Evidence::EjectedAgain { reason, since } => self.eject_again(reason, since, context, &mut changes),
            Evidence::NoneUnseen { counted } => self.clear_recheck(counted),
            Evidence::Clock => self.on_clock(context, &mut changes),
            Evidence::AnswerMissing => self.decide_unanswered(context, &mut changes),
        }
        (self, changes)
    }

    fn suspect(&mut self, kind: StreakKind, first: bool, context: &RotationContext<'_>) {
        let (since, ejected) = (context.now, context.cluster.ejected());
        let new = Suspicion { kind, since, ejected, repeated: !first, mixed: false };
        let add = |suspicion: Suspicion| Suspicion { mixed: suspicion.mixed || suspicion.kind != kind, ..suspicion };
        self.state = match self.state {
            State::In => State::Suspected(new),
            State::Suspected(suspicion) => State::Suspected(add(suspicion)),
            State::AwaitingCause { since, suspicion } => {
                State::AwaitingCause { since, suspicion: Some(suspicion.map_or(new, add)) }
            }
            ejected @ State::Ejected { .. } => ejected,
        };
    }

    fn drop_suspicion(&mut self, which: impl Fn(&Suspicion) -> bool) {
        match &mut self.state {
            State::Suspected(suspicion) if which(suspicion) => self.state = State::In,
            State::AwaitingCause { suspicion, .. } => {
                suspicion.take_if(|suspicion| which(suspicion));
            }
            _ => {}
        }
    }

    fn suspicion(&self) -> Option<Suspicion> {
        match self.state {
            State::Suspected(suspicion) => Some(suspicion),
            State::AwaitingCause { suspicion, .. } => suspicion,
            State::In | State::Ejected { .. } => None,
        }
    }

    /// It is ejected at the second of these times at the latest and not before the first.
    fn eject(
        &mut self,
        reason: EjectReason,
        basis: Basis,
        (since, at): (Millis, Millis),
        context: &RotationContext<'_>,
        changes: &mut Vec<Transition>,
    ) {
        if self.ejection().is_none() {
            self.ejections = self.ejections.saturating_add(1);
            self.backoff.returns_early |= context.cluster.ends_early();
            let by_rate = reason == EjectReason::Other;
            let ejection = self.backoff.eject((since, at), by_rate, context.rules, context.rule);
            self.state = State::Ejected { ejection, recheck: None };
            changes.push(Transition::Ejected { reason, basis, ejection: self.ejections });
        }
    }

    /// Until when it was certainly in rotation, if Envoy lists it as ejected at `at` for the first time.
    fn in_rotation_until(&self, at: Millis) -> Millis {
        let threshold = self.suspicion().map_or(0, |suspicion| suspicion.since.saturating_sub(IN_FLIGHT_MS));
        let since = self.in_rotation_at.max(self.backoff.returned_at()).max(threshold);
        if since > 0 { since.min(at) } else { at }
    }

    /// It is back, and was still ejected at `out`.
    fn uneject(&mut self, basis: Basis, out: Millis, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        if let State::Ejected { ejection, .. } = self.state {
            self.backoff.uneject(&ejection, out, context.now);
            self.state = State::In;
            changes.push(Transition::Returned { basis, since: ejection.at, ejection: self.ejections });
        }
    }

    /// The endpoint's past ends with it.
    fn remove(&mut self, basis: Basis, changes: &mut Vec<Transition>) {
        if let State::Ejected { ejection, .. } = self.state {
            changes.push(Transition::Removed { basis, since: ejection.at, ejection: self.ejections });
        }
        *self = Self::default();
    }

    /// That was at any time since its ejection may have been over, and not before `since`.
    fn eject_again(
        &mut self,
        reason: EjectReason,
        since: Millis,
        context: &RotationContext<'_>,
        changes: &mut Vec<Transition>,
    ) {
        if let Some(ejection) = self.ejection() {
            self.uneject(Basis::Inferred, 0, context, changes);
            let since = ejection.due.max(since).min(context.now);
            self.eject(reason, Basis::Inferred, (since, context.now), context, changes);
        }
    }

    /// Envoy has listed it as ejected.
    fn eject_listed(&mut self, reason: EjectReason, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        let since = self.in_rotation_until(context.now);
        self.eject(reason, Basis::Witnessed, (since, context.now), context, changes);
    }

    /// Whether an attempt at an ejected endpoint shows that it is back: it started well after the ejection, so the load
    /// balancer chose the endpoint. In panic the balancer chooses from all endpoints, which shows nothing. With every
    /// endpoint ejected, panic is assumed whatever the configuration says, until the ejection time is over.
    fn shows_return(&self, started: Millis, context: &RotationContext<'_>) -> bool {
        let Some(ejection) = self.ejection() else { return false };
        let was_chosen = started > ejection.at.saturating_add(IN_FLIGHT_MS);
        let none_left = || context.cluster.ejected() >= context.cluster.endpoints();
        was_chosen && !context.was_in_panic(started) && (context.now >= ejection.due || !none_left())
    }

    fn on_listed(&mut self, listed: &Listed, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        let before = self.requests;
        self.last_counts = listed.counts.unwrap_or(self.last_counts);
        if !listed.ejected {
            self.in_rotation_at = listed.asked;
        } else if matches!(self.state, State::In | State::Suspected(_)) {
            // One that has just become known was in the list before all the same.
            self.in_rotation_at = self.in_rotation_at.max(listed.previous);
        }
        if self.is_baseline(listed.asked) {
            self.note_requests(listed);
        }
        match (listed.ejected, self.state) {
            // Traffic has shown the endpoint's return since the list was asked for: the list may be outdated, or show a
            // new ejection.
            (true, State::In | State::Suspected(_) | State::AwaitingCause { .. })
                if self.backoff.returned_at() >= listed.asked =>
            {
                changes.push(Transition::ViewStale);
            }
            (true, State::In | State::Suspected(_)) => self.on_listed_ejected(context.now, context, changes),
            (true, State::AwaitingCause { since, .. }) => self.on_listed_ejected(since, context, changes),
            (true, State::Ejected { ejection, .. }) => {
                if context.keeps_counts {
                    self.recheck(listed, listed.counts.is_some_and(|counts| counts.requests > before.count), context);
                } else if is_next_ejection(listed, &ejection, before, context) {
                    self.eject_again(EjectReason::Other, 0, context, changes);
                    self.note_requests(listed);
                }
            }
            (false, State::Ejected { ejection, .. }) if listed.asked > ejection.at => {
                self.uneject(Basis::Witnessed, listed.previous, context, changes);
            }
            (false, State::Suspected(suspicion))
                if listed.asked >= suspicion.since.saturating_add(EJECTS_WITHIN_MS) =>
            {
                self.state = State::In;
                changes.push(Transition::Refuted);
                changes.extend(blocked(&suspicion, listed, context).map(Transition::Blocked));
            }
            (false, _) => {}
        }
    }

    /// Envoy lists the endpoint as ejected, for the first time at `since`.
    fn on_listed_ejected(&mut self, since: Millis, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        let suspicion = self.suspicion();
        // There are several possible causes, or none was seen. The count may show which it was, if one can still come.
        let by_rate = context.rule.by_envoy && context.rule.by_rate;
        let is_open = by_rate || suspicion.is_none_or(|suspicion| suspicion.mixed) || !is_explained(suspicion, context);
        let may_come = context.counts_asked < since || since == context.now;
        if is_open && context.keeps_counts && may_come && context.now.abs_diff(since) < CAUSE_WAIT_MS {
            self.state = State::AwaitingCause { since, suspicion };
        } else {
            // Where rates eject too, a streak that was reached at the same time proves nothing without counts.
            let is_known = (!by_rate || context.keeps_counts) && is_explained(suspicion, context);
            let reason = if is_known { reason_of(suspicion) } else { EjectReason::Other };
            self.eject_listed(reason, context, changes);
        }
    }

    /// Whether the number of requests in a list asked for at `asked` is one that later lists are compared with: up to
    /// the end of the ejection time, or else the first after all workers know of the ejection.
    fn is_baseline(&self, asked: Millis) -> bool {
        let Some(ejection) = self.ejection() else { return true };
        let known = ejection.at.saturating_add(IN_FLIGHT_MS);
        asked < ejection.due || (ejection.due >= known && self.requests.asked < known && asked >= known)
    }

    fn note_requests(&mut self, listed: &Listed) {
        if let Some(counts) = listed.counts {
            self.requests = Requests { count: counts.requests, asked: listed.asked };
        }
    }

    /// Envoy still lists the endpoint as ejected. If it may have been back in between, the count of ejections decides.
    fn recheck(&mut self, listed: &Listed, requested: bool, context: &RotationContext<'_>) {
        let State::Ejected { ejection, recheck } = &mut self.state else { return };
        let asked = listed.asked;
        if asked >= ejection.due && (requested || asked > ejection.surely_over(context.rules)) {
            *recheck = Some((recheck.map_or(asked, |(first, _)| first), asked));
            self.note_requests(listed);
        }
    }

    fn clear_recheck(&mut self, counted: Millis) {
        if let State::Ejected { recheck, .. } = &mut self.state
            && let Some((first, last)) = *recheck
            && first <= counted
        {
            *recheck = (last > counted).then_some((last, last));
        }
    }

    /// Reports an ejection that waited for its cause; without a `reason`, the observed streak is the cause if no other
    /// can be.
    fn explain(&mut self, reason: Option<EjectReason>, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        if let State::AwaitingCause { suspicion, .. } = self.state {
            let is_open = context.rule.by_envoy && context.rule.by_rate || suspicion.is_some_and(|it| it.mixed);
            let is_known = !is_open && is_explained(suspicion, context);
            let reason = reason.unwrap_or(if is_known { reason_of(suspicion) } else { EjectReason::Other });
            self.eject_listed(reason, context, changes);
        }
    }

    fn on_clock(&mut self, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        let wait = if context.has_witness { ANSWER_WAIT_MS } else { 0 };
        if self.ejection().is_some_and(|it| context.now >= it.surely_over(context.rules).saturating_add(wait)) {
            self.uneject(Basis::Inferred, 0, context, changes);
        }
        self.explain(None, context, changes);
    }

    fn decide_unanswered(&mut self, context: &RotationContext<'_>, changes: &mut Vec<Transition>) {
        let Some(suspicion) = self.suspicion() else { return };
        let waits = context.has_witness && context.now < suspicion.since.saturating_add(ANSWER_WAIT_MS);
        if waits || context.has_unconfirmed {
            return;
        }
        self.drop_suspicion(|_| true);
        let surely_ejects = context.sees_successes && context.rule.surely_ejects(suspicion.kind);
        if surely_ejects && !context.is_capped(context.cluster.ejected()) {
            let times = (suspicion.since.min(context.now), context.now);
            self.eject(suspicion.kind.eject_reason(), Basis::Inferred, times, context, changes);
        }
    }

    /// The rules have become known, or changed: an ejection lasts as long as they say.
    pub fn adopt_rules(&mut self, rules: &OutlierDetection, rule: &Rule) {
        if let State::Ejected { ejection, .. } = &mut self.state {
            *ejection = self.backoff.ejection_at((ejection.earliest, ejection.at), rules, rule);
        }
    }

    /// Whether a list with these counts shows another host under the same address: a host's counts never fall.
    pub fn is_of_another_host(&self, counts: Option<HostCounts>) -> bool {
        let last = self.last_counts;
        counts.is_some_and(|counts| counts.requests < last.requests || counts.errors < last.errors)
    }

    /// The ejection that is not over, if any.
    pub fn ejection(&self) -> Option<Ejection> {
        match self.state {
            State::Ejected { ejection, .. } => Some(ejection),
            _ => None,
        }
    }

    /// Whether a list asked for at `asked` that shows the endpoint as ejected would be news.
    pub fn is_ejection_news(&self, asked: Millis) -> bool {
        self.ejection().is_none() && self.backoff.returned_at() < asked
    }

    /// Whether a threshold was reached and the result is not known yet, or an ejection waits for its cause.
    pub fn is_undecided(&self) -> bool {
        matches!(self.state, State::Suspected(_) | State::AwaitingCause { .. })
    }

    /// Whether Envoy lists it as ejected and the ejection waits for its cause.
    pub fn awaits_cause(&self) -> bool {
        matches!(self.state, State::AwaitingCause { .. })
    }

    /// The first and last time that Envoy was asked and still listed the endpoint as ejected although it may have been
    /// back; `None` if there is nothing to recheck.
    pub fn recheck_asked(&self) -> Option<(Millis, Millis)> {
        match self.state {
            State::Ejected { recheck, .. } => recheck,
            _ => None,
        }
    }

    /// From now on its ejections may be over before their time.
    pub fn may_end_early(&mut self) {
        self.backoff.returns_early = true;
        if let State::Ejected { ejection, .. } = &mut self.state {
            ejection.due = ejection.earliest;
        }
    }

    /// Whether an ejection of it may be over before its time.
    pub fn returns_early(&self) -> bool {
        self.backoff.returns_early
    }

    /// Since when the last ejection may have been over; 0 if there was none.
    pub fn returned_since(&self) -> Millis {
        self.backoff.returned_since()
    }

    /// When the last ejection was known to be over; 0 if there was none.
    pub fn returned_at(&self) -> Millis {
        self.backoff.returned_at()
    }
}

/// Whether the streak explains an ejection. One that Envoy had blocked before may have been ejected for a streak of any
/// kind when there was room.
fn is_explained(suspicion: Option<Suspicion>, context: &RotationContext<'_>) -> bool {
    !(suspicion.is_some_and(|suspicion| suspicion.repeated) && context.rule.has_several_kinds())
}

/// The cause that the streak suggests.
fn reason_of(suspicion: Option<Suspicion>) -> EjectReason {
    suspicion.map_or(EjectReason::Other, |suspicion| suspicion.kind.eject_reason())
}

/// Why Envoy kept a suspected endpoint in rotation, if that is certain. Workers count side by side, so a success that
/// the filter does not see may have broken the streak. An unbroken streak that reaches its threshold again is certain.
fn blocked(suspicion: &Suspicion, listed: &Listed, context: &RotationContext<'_>) -> Option<BlockedReason> {
    let ejected = listed.cluster_ejected.max(suspicion.ejected).max(context.cluster.recent_max_ejected(context.now));
    match context.is_capped(ejected) {
        _ if context.has_unconfirmed => None,
        true => Some(BlockedReason::MaxEjectionPercent),
        false => suspicion.repeated.then_some(BlockedReason::NotEnforced),
    }
}

/// Decides without Envoy's count whether an endpoint that is still listed as ejected was back and was ejected again:
/// requests went to it after its ejection was due to end. In panic, ejected endpoints get requests too. Without
/// requests it was not in rotation, however long the ejection lasts.
fn is_next_ejection(listed: &Listed, ejection: &Ejection, before: Requests, context: &RotationContext<'_>) -> bool {
    let asked = listed.asked;
    let is_requested = listed.counts.is_some_and(|counts| counts.requests > before.count);
    let over = ejection.surely_over(context.rules);
    // Workers send requests to the endpoint until they know of the ejection, so counts from before are unreliable.
    let is_reliable = before.asked >= ejection.at.saturating_add(IN_FLIGHT_MS) || asked > over;
    let is_tried = asked >= ejection.due && is_requested && is_reliable && !context.was_in_panic(asked);
    // By rates, Envoy may eject an endpoint in the same tick that ends its ejection, without a request in between. Then
    // only the clock shows it, if the rule is Envoy's own.
    let by_clock = context.rule.by_envoy && context.rule.by_rate;
    is_tried || (by_clock && asked > over.saturating_add(OVERLOADED_MS))
}

#[cfg(test)]
mod tests;
