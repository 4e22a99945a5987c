//! What Envoy itself says of a cluster's endpoints, against what was concluded from traffic.
//!
//! Envoy's word decides: an ejection that it shows is reported with basis `witnessed`, one that it does not show is
//! withdrawn before it was reported, or, if the threshold was surely reached, becomes `ejection_blocked`. It also shows
//! ejections that no attempt could (success rate, attempts that were retried out of sight).
//!
//! An answer tells how things were at some moment after the question was sent; what happened since is not in it.

use super::{ClusterState, Endpoint, IN_FLIGHT, Setting, WITNESS_PATIENCE};
use crate::ejection::Ejection;
use crate::event::{Basis, Event, EventKind};
use crate::time::{Micros, Millis};
use crate::witness::Witnessed;

/// A question asked this long after a threshold was reached has an answer in which the ejection would show: Envoy ejects
/// on its main thread, within milliseconds.
const EJECTS_WITHIN: Millis = 100;

/// For so long an ejection waits for the count that tells its cause.
const EXPLAINS_WITHIN: Millis = 100;

/// So much later Envoy's main thread may be on an overloaded machine.
const OVERLOADED: Millis = 1_000;

/// Between two questions while something is not over but nothing is expected to change.
const ATTENTIVE: Millis = 1_000;

/// Between two questions while an endpoint fails, which may be ejected for what is not seen here, or its ejection is
/// overdue, which Envoy ends with its interval.
const SOON: Millis = 150;

impl ClusterState {
    /// Takes in Envoy's list of the cluster's endpoints, asked for at `asked`.
    pub fn witness(&mut self, hosts: &[Witnessed], asked: Millis, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.total = u32::try_from(hosts.len()).ok();
        self.counted_at = setting.now;
        self.overtaken = false;
        self.count_members(hosts);
        // Endpoints that left while ejected did not return, so no event says so.
        self.endpoints
            .retain(|endpoint| endpoint.seen >= asked || hosts.iter().any(|host| host.address == endpoint.address));
        self.watch_panic(setting);
        // What is ejected first, so that the percent cap is known when it comes to what is not.
        let (ejected, others): (Vec<_>, Vec<_>) = hosts.iter().partition(|host| host.ejected);
        let active = self.ejected_count().max(u32::try_from(ejected.len()).unwrap_or(u32::MAX));
        for host in ejected.into_iter().chain(others) {
            self.weigh(host, active, asked, setting, &mut events);
        }
        self.find_unseen(asked, setting, &mut events);
        self.step_failover(None, setting, &mut events);
        events
    }

    /// In how many milliseconds Envoy should be asked again: at once when a threshold was reached, an ejection is just
    /// due to be over, or the last answer was overtaken; `None` when nothing is open that it could tell of.
    pub fn ask_again_in(&self, now: Millis) -> Option<Millis> {
        let soon = now.abs_diff(self.ledger.asked) < ATTENTIVE;
        if self.overtaken || (self.ledger.unseen() > 0 && soon) {
            return Some(0);
        }
        let wait = |endpoint: &Endpoint| match endpoint.detector.ejection() {
            _ if endpoint.suspicion.is_some() || endpoint.unexplained.is_some() => Some(0),
            Some(ejection) if now < ejection.due => Some(ejection.due.saturating_sub(now).min(ATTENTIVE)),
            Some(ejection) if now.saturating_sub(ejection.due) < ATTENTIVE => Some(0),
            Some(_) => Some(SOON),
            None if !endpoint.detector.is_failing() => None,
            None if now.saturating_sub(endpoint.seen) < ATTENTIVE => Some(SOON),
            None => Some(ATTENTIVE),
        };
        self.endpoints.iter().filter_map(wait).min()
    }

    /// `active` is how many were ejected before this answer.
    fn weigh(&mut self, host: &Witnessed, active: u32, asked: Millis, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let known = self.endpoints.iter().position(|endpoint| endpoint.address == host.address);
        let index = match known {
            Some(index) => index,
            None if !host.ejected => return,
            None => match self.add_endpoint(&host.address, &host.locality, None, setting.now) {
                Some(index) => index,
                None => return,
            },
        };
        if !host.ejected {
            self.explain(index, None, setting, events);
        }
        let kept = self.ledger.is_kept();
        let Some(endpoint) = self.endpoints.get_mut(index) else { return };
        let (suspicion, ejection, tried) = (endpoint.suspicion, endpoint.detector.ejection(), endpoint.tried);
        // Until workers have heard of an ejection they may try the endpoint: counts from before say little.
        let heard = |ejection: &Ejection| ejection.at.saturating_add(IN_FLIGHT);
        let settles = |ejection: &Ejection| {
            ejection.due >= heard(ejection) && tried.1 < heard(ejection) && asked >= heard(ejection)
        };
        if ejection.is_none_or(|ejection| asked < ejection.due || settles(&ejection)) {
            endpoint.tried = (host.tried, asked);
        }
        match (host.ejected, ejection) {
            // Traffic showed meanwhile that it is back, so this may be how it was before. Or how it is again.
            (true, None) if endpoint.detector.returned_at() >= asked => self.overtaken = true,
            (true, None) => {
                let held = self.endpoints.get_mut(index).and_then(|e| e.detector.matured(Micros::MAX, setting.outlier));
                if let Some(crossing) = held {
                    self.tell_held(index, crossing, setting, events);
                }
                let Some(endpoint) = self.endpoints.get_mut(index) else { return };
                let since = *endpoint.unexplained.get_or_insert(setting.now);
                let may_come = self.ledger.tried < since || since == setting.now;
                let is_open = suspicion.is_none_or(|suspicion| suspicion.mixed);
                if is_open && kept && may_come && setting.now.abs_diff(since) < EXPLAINS_WITHIN {
                    return;
                }
                let reason = suspicion.map_or("other", |suspicion| suspicion.kind.eject_reason());
                self.push_ejected(index, reason, Basis::Witnessed, setting.now, setting, events);
            }
            (true, Some(ejection)) if kept => {
                // Whether it was back meanwhile, the count tells.
                let was_tried = host.tried > tried.0;
                if asked >= ejection.due && (was_tried || asked > ejection.surely_over(setting.outlier)) {
                    endpoint.doubted = Some((endpoint.doubted.map_or(asked, |(first, _)| first), asked));
                    endpoint.tried = (host.tried, asked);
                }
            }
            (true, Some(ejection)) => {
                // Envoy ends an ejection on the first tick of its interval after it is due. One that still shows after
                // that is the next one: the endpoint was back for less than the time between two questions. If it was
                // tried meanwhile, that is known sooner, but in panic endpoints are tried while they are ejected.
                let was_tried = asked >= ejection.due && host.tried > tried.0 && !self.panicked_lately(asked);
                let over = ejection.surely_over(setting.outlier);
                let is_next = match was_tried {
                    true => tried.1 >= heard(&ejection) || asked > over,
                    false => asked > over.saturating_add(OVERLOADED),
                };
                if is_next {
                    let reason = suspicion.map_or("other", |suspicion| suspicion.kind.eject_reason());
                    self.give_back(index, Basis::Inferred, setting, events);
                    self.push_ejected(index, reason, Basis::Witnessed, setting.now, setting, events);
                    if let Some(endpoint) = self.endpoints.get_mut(index) {
                        endpoint.tried = (host.tried, asked);
                    }
                }
            }
            (false, Some(ejection)) if asked > ejection.at => {
                self.give_back(index, Basis::Witnessed, setting, events);
            }
            (false, Some(_)) => {}
            (false, None) => {
                let Some(suspicion) = suspicion else { return };
                if asked >= suspicion.since.saturating_add(EJECTS_WITHIN) {
                    let active = active.max(suspicion.active).max(self.peak_ejected(setting.now));
                    let capped = self.is_capped(active, setting);
                    let Some(endpoint) = self.endpoints.get_mut(index) else { return };
                    endpoint.suspicion = None;
                    endpoint.detector.refute_held(setting.outlier);
                    // Workers count side by side, so a streak may have been broken unseen. An unbroken one that reaches
                    // its threshold once more leaves no doubt.
                    if endpoint.held.take().is_some() || endpoint.blocked || !(capped || suspicion.again) {
                        return;
                    }
                    endpoint.blocked = true;
                    let blocked = EventKind::EjectionBlocked {
                        reason: if capped { "max_ejection_percent" } else { "not_enforced" },
                        max_ejection_percent: setting.outlier.max_ejection_percent,
                        endpoints: self.endpoint_count(),
                    };
                    self.push(index, Some(Basis::Witnessed), blocked, setting, events);
                }
            }
        }
    }

    /// Draws the conclusion without Envoy where it did not answer for long.
    pub(super) fn decide_unanswered(&mut self, setting: &Setting<'_>, events: &mut Vec<Event>) {
        for index in 0..self.endpoints.len() {
            let Some(suspicion) = self.endpoints.get(index).and_then(|endpoint| endpoint.suspicion) else { continue };
            let waits = setting.witness && setting.now < suspicion.since.saturating_add(WITNESS_PATIENCE);
            if waits || self.endpoints.get(index).is_some_and(|endpoint| endpoint.held.is_some()) {
                continue;
            }
            if let Some(endpoint) = self.endpoints.get_mut(index) {
                endpoint.suspicion = None;
            }
            if !self.is_capped(self.ejected_count(), setting) {
                self.push_ejected(index, suspicion.kind.eject_reason(), Basis::Inferred, setting.now, setting, events);
            }
        }
    }

    fn count_members(&mut self, hosts: &[Witnessed]) {
        for place in &mut self.places {
            (place.members, place.unhealthy) = (0, 0);
        }
        for host in hosts {
            if let Some(place) = self.place(&host.locality) {
                place.members = place.members.saturating_add(1);
                place.unhealthy = place.unhealthy.saturating_add(u32::from(!host.ejected && !host.healthy));
            }
        }
    }
}
