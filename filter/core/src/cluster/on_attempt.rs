//! What an attempt leads to at its endpoint: streaks told, ejections and returns, as Envoy would have them.

use super::{ClusterState, Endpoint, IN_FLIGHT, Observed, SAME_STREAK, Setting, Suspicion};
use crate::detector::{Crossing, StreakKind};
use crate::event::{Basis, Event, EventKind, LastAttempt};
use crate::time::{Millis, seconds_between};

impl Endpoint {
    /// A threshold was reached, about which Envoy is to be asked.
    fn suspect(&mut self, crossing: Crossing, active: u32, now: Millis) {
        let Crossing { kind, first, .. } = crossing;
        self.blocked &= !first;
        let new = Suspicion { kind, since: now, active, again: !first, mixed: false };
        let suspicion = self.suspicion.get_or_insert(new);
        suspicion.mixed |= suspicion.kind != kind;
    }
}

impl ClusterState {
    pub(super) fn judge(&mut self, index: usize, seen: &Observed<'_>, setting: &Setting<'_>, events: &mut Vec<Event>) {
        self.watch_panic(setting);
        if self.shows_return(index, seen.started, setting) {
            // Where Envoy can be asked it is, at once: it may have ejected the endpoint again.
            self.overtaken = setting.witness;
            if !setting.witness {
                self.give_back(index, Basis::Inferred, setting, events);
            }
        }
        self.charge(index, seen, setting, events);
    }

    /// Applies what Envoy charged, and tells what it leads to.
    pub(super) fn charge(&mut self, index: usize, seen: &Observed<'_>, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        endpoint.seen = setting.now;
        let was_held = endpoint.detector.is_held();
        let crossings = endpoint.detector.charge(&seen.charges, &seen.moments, setting.outlier);
        let is_sure = crossings.iter().any(|crossing| crossing.at.is_some());
        if was_held && !is_sure && !endpoint.detector.is_held() {
            endpoint.held = None;
            endpoint.suspicion.take_if(|suspicion| suspicion.kind == StreakKind::LocalOrigin);
        }
        for crossing in crossings {
            if crossing.at.is_some() {
                self.tell_held(index, crossing, setting, events);
            } else if crossing.held {
                self.hold(index, crossing, &seen.last, setting);
            } else {
                self.tell_streak(index, crossing, seen.last.clone(), setting, events);
                self.eject(index, crossing, setting, events);
            }
        }
    }

    /// Keeps a crossing that is not sure yet to itself; Envoy, where it can be asked, may know.
    fn hold(&mut self, index: usize, crossing: Crossing, last: &LastAttempt, setting: &Setting<'_>) {
        let active = self.ejected_count();
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        endpoint.held = Some(last.clone());
        if setting.witness {
            endpoint.suspect(crossing, active, setting.now);
        }
    }

    /// Tells of a streak that was kept back, and what it led to.
    pub(super) fn tell_held(
        &mut self,
        index: usize,
        crossing: Crossing,
        setting: &Setting<'_>,
        events: &mut Vec<Event>,
    ) {
        if let Some(last) = self.endpoints.get_mut(index).and_then(|endpoint| endpoint.held.take()) {
            self.tell_streak(index, crossing, last, setting, events);
        }
        self.eject(index, crossing, setting, events);
    }

    fn tell_streak(
        &mut self,
        index: usize,
        crossing: Crossing,
        last: LastAttempt,
        setting: &Setting<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        // In split mode any connection breaks a streak, so one that goes on in fits and starts is one to tell.
        let just_told = |(kind, at): (StreakKind, Millis)| {
            let goes_on = setting.now.saturating_sub(at) < SAME_STREAK && at >= endpoint.detector.returned_at();
            kind == StreakKind::LocalOrigin && kind == crossing.kind && goes_on
        };
        if crossing.first && !endpoint.told.is_some_and(just_told) {
            let Crossing { kind, threshold, .. } = crossing;
            endpoint.told = Some((kind, setting.now));
            let streak = EventKind::ErrorStreak { kind: kind.as_str(), streak: threshold, threshold, last };
            self.push(index, None, streak, setting, events);
        }
    }

    /// Ejects the endpoint if Envoy would: not when it is ejected already, nor beyond the percent cap. Where Envoy can
    /// be asked, it is.
    fn eject(&mut self, index: usize, crossing: Crossing, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let active = self.ejected_count();
        let at = crossing.at.unwrap_or(setting.now);
        if setting.witness {
            let Some(endpoint) = self.endpoints.get_mut(index) else { return };
            endpoint.suspect(crossing, active, setting.now);
        } else if !self.is_capped(active, setting) {
            self.push_ejected(index, crossing.kind.eject_reason(), Basis::Inferred, at, setting, events);
        }
    }

    /// Whether one ejection more than `active` would be beyond the percent cap.
    pub(super) fn is_capped(&self, active: u32, setting: &Setting<'_>) -> bool {
        let active = active.saturating_add(1);
        let percent = u64::from(active).saturating_mul(100);
        let cap = u64::from(setting.outlier.max_ejection_percent.min(100));
        percent > u64::from(self.endpoint_count().max(active)).saturating_mul(cap)
    }

    pub(super) fn push_ejected(
        &mut self,
        index: usize,
        reason: &'static str,
        basis: Basis,
        at: Millis,
        setting: &Setting<'_>,
        events: &mut Vec<Event>,
    ) {
        let active = self.ejected_count().saturating_add(1);
        let endpoints = self.endpoint_count().max(active);
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        endpoint.suspicion = None;
        if endpoint.detector.ejection().is_some() {
            return;
        }
        endpoint.detector.eject(at, setting.outlier);
        (endpoint.doubted, endpoint.unexplained) = (None, None);
        self.ledger.tell(reason, setting.now);
        if active >= self.peak_ejected(setting.now) {
            self.peak = (active, setting.now);
        }
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        let ejection = endpoint.detector.ejections();
        let ejected = EventKind::EndpointEjected { reason, ejection, ejected_endpoints: active, endpoints };
        self.push(index, Some(basis), ejected, setting, events);
    }

    /// Whether an attempt at an ejected endpoint shows that it is back: it was started well after the ejection, so the
    /// load balancer chose it. In panic the balancer chooses from all, which shows nothing; with every endpoint ejected
    /// that is expected whatever the configuration says, until the ejection time is over.
    fn shows_return(&self, index: usize, started: Option<Millis>, setting: &Setting<'_>) -> bool {
        let Some(endpoint) = self.endpoints.get(index) else { return false };
        let Some(ejection) = endpoint.detector.ejection() else { return false };
        let chosen = started.unwrap_or(setting.now) > ejection.at.saturating_add(IN_FLIGHT);
        let none_left = self.ejected_count() >= self.endpoint_count();
        let panicked = self.panicked_lately(started.unwrap_or(setting.now));
        chosen && !panicked && (!none_left || setting.now >= ejection.due)
    }

    pub(super) fn give_back(&mut self, index: usize, basis: Basis, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return;
        };
        let Some(ejection) = endpoint.detector.give_back(setting.now) else {
            return;
        };
        endpoint.seen = setting.now;
        endpoint.doubted = None;
        let returned = EventKind::EndpointReturned {
            ejected_seconds: seconds_between(ejection.at, setting.now),
            ejection: endpoint.detector.ejections(),
        };
        self.push(index, Some(basis), returned, setting, events);
    }
}
