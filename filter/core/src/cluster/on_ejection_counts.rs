//! What Envoy's count of ejections adds to its list of endpoints: the cause of an ejection that no attempt showed, and
//! that an endpoint which is shown ejected was back in rotation meanwhile.
//!
//! The count names no endpoint. So a cause is taken from it only when it is the only one that grew unseen, and an ejection only
//! for an endpoint whose ejection was due to be over. It also refutes: where nothing is unseen, an endpoint that is still
//! shown ejected was never back.
//!
//! Envoy has no such count where its statistics are not kept (Istio leaves them out unless `proxyStatsMatcher` names
//! them); then `witnessed` goes by how often the endpoint was tried, and by the clock.

use super::{ClusterState, Endpoint, Setting};
use crate::event::{Basis, Event};
use crate::time::Millis;
use crate::witness::Ejections;

/// Between two questions for the count while nothing asks for it: the first tells what later ones are compared with.
const EVERY: Millis = 60_000;

impl ClusterState {
    /// Whether Envoy should be asked for its count of the cluster's ejections now, after its list.
    pub fn wants_count(&self, now: Millis) -> bool {
        let since = now.abs_diff(self.ledger.tried);
        let in_doubt = || self.endpoints.iter().any(|e| e.doubted.is_some_and(|(_, last)| last >= self.ledger.asked));
        since >= EVERY
            || self.endpoints.iter().any(|endpoint| endpoint.unexplained.is_some())
            || (since >= self.ledger.doubts_wait() && self.ledger.is_kept() && in_doubt())
    }

    /// Takes in Envoy's count of the cluster's ejections, asked for at `asked` after the list; `None` when it has none.
    pub fn counted(&mut self, count: Option<Ejections>, asked: Millis, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.ledger.count(count, asked);
        let (reason, newest) = (self.ledger.only_reason(), self.ledger.is_newest());
        for index in 0..self.endpoints.len() {
            self.explain(index, reason, setting, &mut events);
        }
        // Below zero, more was told than happened.
        if newest && self.ledger.unseen() <= 0 {
            self.ledger.settle();
        }
        self.step_failover(None, setting, &mut events);
        events
    }

    /// The count was asked for at `asked`, and there was no answer that could be used.
    pub fn count_failed(&mut self, asked: Millis) {
        self.ledger.tried = asked;
    }

    /// Tells of an ejection whose cause was asked for.
    pub(super) fn explain(
        &mut self,
        index: usize,
        reason: Option<&'static str>,
        setting: &Setting<'_>,
        events: &mut Vec<Event>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(index).filter(|endpoint| endpoint.unexplained.is_some()) else {
            return;
        };
        endpoint.unexplained = None;
        let shown = endpoint.suspicion.map(|suspicion| suspicion.kind.eject_reason());
        let reason = reason.or(shown).unwrap_or("other");
        self.push_ejected(index, reason, Basis::Witnessed, setting.now, setting, events);
    }

    /// Finds who was ejected again unseen: `asked` is when Envoy was asked for the list that is just taken in, so what it counted
    /// before shows in there, or was told, or is unseen.
    pub(super) fn find_unseen(&mut self, asked: Millis, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let counted = self.ledger.asked;
        if !self.ledger.is_kept() || asked < counted {
            return;
        }
        let unexplained = self.endpoints.iter().filter(|endpoint| endpoint.unexplained.is_some()).count();
        let unseen = self.ledger.unseen().saturating_sub(i64::try_from(unexplained).unwrap_or(i64::MAX));
        let Some(unseen) = usize::try_from(unseen).ok().filter(|unseen| *unseen > 0) else {
            return self.drop_doubts(counted);
        };
        let ejection = |endpoint: &Endpoint| endpoint.detector.ejection().filter(|ejection| asked >= ejection.due);
        let late = |endpoint: &Endpoint| ejection(endpoint).is_some_and(|e| asked > e.surely_over(setting.outlier));
        let tried = |endpoint: &Endpoint| {
            ejection(endpoint).is_some() && endpoint.doubted.is_some_and(|(first, _)| first <= counted)
        };
        // Those that were tried when their time was over; if there are none, those whose time is long over.
        let nobody_was = !self.endpoints.iter().any(tried);
        let found = self.endpoints.iter().enumerate();
        let found = found.filter(|(_, endpoint)| if nobody_was { late(endpoint) } else { tried(endpoint) });
        let found: Vec<usize> = found.map(|(index, _)| index).collect();
        // Of more than there can be, none is known to be one.
        if found.len() <= unseen {
            for index in found {
                let suspicion = self.endpoints.get(index).and_then(|endpoint| endpoint.suspicion);
                let reason = suspicion.map(|suspicion| suspicion.kind.eject_reason()).or(self.ledger.only_reason());
                self.give_back(index, Basis::Inferred, setting, events);
                self.push_ejected(index, reason.unwrap_or("other"), Basis::Witnessed, setting.now, setting, events);
            }
        }
        // Nobody is left whom it can be about, such as when the endpoint has left.
        if unexplained == 0 && !self.endpoints.iter().any(|endpoint| ejection(endpoint).is_some()) {
            self.ledger.settle();
        }
    }

    /// What was in doubt before the count at `counted`, which showed nothing, is none any more.
    fn drop_doubts(&mut self, counted: Millis) {
        let mut dropped = false;
        for doubted in self.endpoints.iter_mut().map(|endpoint| &mut endpoint.doubted) {
            if let Some((first, last)) = *doubted
                && first <= counted
            {
                *doubted = (last > counted).then_some((last, last));
                dropped = true;
            }
        }
        if dropped {
            self.ledger.refute();
        }
    }
}
