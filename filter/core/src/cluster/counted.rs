//! What Envoy's count of ejections adds to its list of endpoints: the cause of an ejection that no attempt showed, and
//! that an endpoint which is shown ejected was back in rotation meanwhile.
//!
//! The count names no endpoint. So a cause is taken from it only when it is the only one that grew unseen, and an ejection only
//! for an endpoint whose ejection was due to be over. It also refutes: where nothing is unseen, an endpoint that is still
//! shown ejected was never back, however long it takes.
//!
//! Envoy has no such count where its statistics are not kept (Istio leaves them out unless `proxyStatsMatcher` names
//! them); then `witnessed` goes by how often the endpoint was tried, and by the clock.

use super::{ClusterState, Endpoint, Setting};
use crate::event::{Basis, Event};
use crate::time::Millis;
use crate::witness::Ejections;

/// Between two questions for the count while nothing asks for it: the first tells what later ones are compared with.
const EVERY: Millis = 60_000;

/// Between two questions for the count because of a doubt that comes back: in panic Envoy tries endpoints while they are
/// ejected.
const DOUBTS: Millis = 100;

impl ClusterState {
    /// Whether Envoy should be asked for its count of the cluster's ejections now, after its list.
    pub fn wants_count(&self, now: Millis) -> bool {
        let since = now.abs_diff(self.ledger.asked);
        let in_doubt = || self.endpoints.iter().any(|e| e.doubted.is_some_and(|at| at >= self.ledger.asked));
        since >= EVERY
            || self.endpoints.iter().any(|endpoint| endpoint.unexplained)
            || (since >= DOUBTS && self.ledger.is_kept() && in_doubt())
    }

    /// Takes in Envoy's count of the cluster's ejections, asked for at `asked` after the list; `None` when it has none.
    pub fn counted(&mut self, count: Option<Ejections>, asked: Millis, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.ledger.count(count, asked);
        let reason = self.ledger.only_reason();
        for index in 0..self.endpoints.len() {
            self.explain(index, reason, setting, &mut events);
        }
        self.step_failover(None, setting, &mut events);
        events
    }

    /// Tells of an ejection whose cause was asked for.
    pub(super) fn explain(
        &mut self,
        index: usize,
        reason: Option<&'static str>,
        setting: &Setting<'_>,
        events: &mut Vec<Event>,
    ) {
        if self.endpoints.get_mut(index).is_some_and(|endpoint| std::mem::take(&mut endpoint.unexplained)) {
            self.push_ejected(index, reason.unwrap_or("other"), Basis::Witnessed, setting.now, setting, events);
        }
    }

    /// Finds who was ejected again unseen: `asked` is when Envoy was asked for the list that is just taken in, so what it counted
    /// before shows in there, or was told, or is unseen.
    pub(super) fn find_unseen(&mut self, asked: Millis, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let counted = self.ledger.asked;
        if !self.ledger.is_kept() || asked < counted {
            return;
        }
        let unexplained = self.endpoints.iter().filter(|endpoint| endpoint.unexplained).count();
        let unseen = self.ledger.unseen().saturating_sub(i64::try_from(unexplained).unwrap_or(i64::MAX));
        let due = |state: &Self| -> Vec<Due> {
            let due = |(index, endpoint): (usize, &Endpoint)| {
                let ejection = endpoint.detector.ejection().filter(|ejection| asked >= ejection.due)?;
                let late = asked > ejection.surely_over(setting.outlier);
                Some(Due { index, doubted: endpoint.doubted.is_some(), late })
            };
            state.endpoints.iter().enumerate().filter_map(due).collect()
        };
        if unseen > 0 {
            let unseen = usize::try_from(unseen).unwrap_or(usize::MAX);
            let which = |which: fn(&Due) -> bool| due(self).into_iter().filter(which).collect::<Vec<_>>();
            // Those that were tried when their time was over, or else those whose time is long over.
            let found = [which(|due| due.doubted), which(|due| due.late)]
                .into_iter()
                .find(|found| !found.is_empty() && found.len() <= unseen);
            for Due { index, .. } in found.into_iter().flatten() {
                let suspicion = self.endpoints.get(index).and_then(|endpoint| endpoint.suspicion);
                let reason = suspicion.map(|suspicion| suspicion.kind.eject_reason()).or(self.ledger.only_reason());
                self.give_back(index, Basis::Witnessed, setting, events);
                self.push_ejected(index, reason.unwrap_or("other"), Basis::Witnessed, setting.now, setting, events);
            }
        }
        let settled = match unseen {
            // Nobody is left whom it can be about, such as when the endpoint has left.
            1.. => due(self).is_empty(),
            0 => true,
            // More was told than happened, unless the count is only older.
            _ => self.ledger.is_newest(),
        };
        if settled && unexplained == 0 {
            self.ledger.settle();
        }
        self.endpoints.iter_mut().for_each(|endpoint| _ = endpoint.doubted.take_if(|at| *at < counted));
    }
}

/// An endpoint that is shown ejected although it may have been back.
struct Due {
    index: usize,
    /// It was tried since its ejection was due to be over.
    doubted: bool,
    /// Its ejection must be over.
    late: bool,
}
