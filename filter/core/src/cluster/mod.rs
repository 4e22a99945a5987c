//! What the workers of a proxy know together of one cluster: endpoints in trouble, where traffic goes, a failover.
//!
//! It is one value. A worker that has news takes the shared value, applies the news, and puts it back if nobody else
//! was faster; otherwise it starts over. So each event is made by exactly one worker, whichever was first. The value
//! holds only endpoints that are in trouble or were lately, and sums; the full list is [`crate::members`].
//!
//! What an attempt leads to is in `judging`. What Envoy itself says of its endpoints comes in by `witnessed`, how many it ejected
//! by `counted`; `home` holds the view that failovers are told by.
//!
//! Deliberately not here: how the value is shared, and healthy traffic one by one: it arrives summed up, by
//! [`ClusterState::add_traffic`].

mod counted;
mod home;
mod judging;
mod ledger;
mod observed;
mod witnessed;

use crate::detector::{Detector, StreakKind};
use crate::event::{Basis, Event, EventKind, LastAttempt};
use crate::failover::Active;
use crate::locality::Locality;
use crate::members::endpoint_hash;
use crate::metric::{Level, Metric};
use crate::outcome::Outcome;
use crate::time::{Millis, seconds_between};
use crate::window::{Count, Window};
use ledger::Ledger;
pub use observed::{Observed, Setting};
use serde::{Deserialize, Serialize};

/// First byte of the encoded value; another one is not understood and read as nothing known. Part of the keys of what is
/// shared, too.
pub const ENCODING: u8 = 8;

/// Endpoints in trouble that are remembered per cluster; beyond it the one unseen for longest is forgotten.
const MAX_ENDPOINTS: usize = 1_000;

/// Localities per cluster.
const MAX_PLACES: usize = 64;

/// An endpoint without traffic for an hour is forgotten with its streaks: it is most likely gone.
const FORGET_AFTER: Millis = 3_600_000;

/// An attempt that was started this long after an ejection was not under way when it happened: Envoy spreads a change
/// of health to its workers at once or, when changes follow each other, within its `update_merge_window` of one second.
const IN_FLIGHT: Millis = 1_500;

/// Within so long, all of Envoy's workers know of a change of health that one of them acts on.
const SPREAD: Millis = 50;

/// How long Envoy's word is waited for before a conclusion is drawn without it.
const WITNESS_PATIENCE: Millis = 3_000;

/// What was so within so long may still be so for one of Envoy's workers, or have been so for its main thread.
const LATELY: Millis = 2_000;

/// A streak that is broken and built up again within so long is told once.
const SAME_STREAK: Millis = 1_000;

/// For so long, Envoy's own list of endpoints outweighs the one that traffic shows.
const TRUST_ENVOYS_COUNT: Millis = 120_000;

/// An endpoint with a past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Endpoint {
    address: String,
    locality: Locality,
    workload: Option<String>,
    detector: Detector,
    /// A threshold that was reached, about which Envoy is being asked.
    suspicion: Option<Suspicion>,
    /// The last attempt of a streak that is not sure yet.
    held: Option<LastAttempt>,
    /// The streak that was told last, and when.
    told: Option<(StreakKind, Millis)>,
    /// Whether it was told that Envoy kept it in rotation in spite of the unbroken streak.
    blocked: bool,
    /// How often it had been tried, by Envoy's count, when its ejection was not yet due to be over, and when that was asked.
    tried: (u64, Millis),
    /// When Envoy was asked first and last, if it then showed the endpoint ejected although it may have been back.
    doubted: Option<(Millis, Millis)>,
    /// When Envoy showed it ejected, if the cause is still to be asked for.
    unexplained: Option<Millis>,
    seen: Millis,
}

/// A threshold that was reached, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Suspicion {
    kind: StreakKind,
    since: Millis,
    /// Endpoints that were ejected then.
    active: u32,
    /// Whether the streak had reached it before, unbroken.
    again: bool,
    /// Whether a streak of another kind reached its own since: Envoy may have ejected for either.
    mixed: bool,
}

/// A locality of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    locality: Locality,
    members: u32,
    /// Members that are not ejected and that Envoy holds to be unhealthy all the same; 0 when it does not say.
    unhealthy: u32,
    window: Window,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    endpoints: Vec<Endpoint>,
    places: Vec<Place>,
    total: Option<u32>,
    /// When Envoy last told its endpoints; 0 when it never did.
    counted_at: Millis,
    /// Whether Envoy's last word was overtaken by what traffic showed since it was asked.
    overtaken: bool,
    /// Envoy's count of ejections.
    ledger: Ledger,
    /// When so few endpoints were in rotation last that Envoy may have chosen ejected ones; 0 when never.
    panicked_at: Millis,
    /// Most endpoints that were ejected at once lately, and when.
    peak: (u32, Millis),
    /// The share of the traffic that went away before home was in trouble, in thousandths.
    usual_away: u32,
    failover: Option<Active>,
    empty_since: Option<Millis>,
    /// Since when an endpoint at home is ejected or failing.
    troubled_since: Option<Millis>,
}

impl ClusterState {
    /// Reads what [`ClusterState::encode`] wrote; anything else is nothing known.
    pub fn decode(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((&ENCODING, rest)) => postcard::from_bytes(rest).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// The value as bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![ENCODING]).unwrap_or_default()
    }

    /// Findings that are not over: endpoints failing or ejected, a failover, no endpoint left. While there are any in a
    /// proxy, its workers look closer.
    pub fn open_findings(&self) -> u32 {
        let troubled = self.endpoints.iter().filter(|e| {
            e.detector.is_failing()
                || e.detector.ejection().is_some()
                || e.suspicion.is_some()
                || e.unexplained.is_some()
        });
        let others = [self.failover.is_some(), self.empty_since.is_some()];
        let count = troubled.count().saturating_add(others.iter().filter(|open| **open).count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether it matters when an attempt at this endpoint was started, and where exactly it went: what is under way shows
    /// neither a return nor a recovery.
    pub fn asks_for_more(&self, endpoint: &str) -> bool {
        self.empty_since.is_some()
            || self.endpoints.iter().any(|e| e.address == endpoint && e.detector.ejection().is_some())
    }

    /// Takes in an attempt that went to an endpoint.
    pub fn attempt(&mut self, seen: &Observed<'_>, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let outcome = seen.charges.outcome();
        if outcome == Outcome::NotCharged {
            // What remains is that it had its connection.
            if let Some(index) = self.endpoints.iter().position(|endpoint| endpoint.address == seen.endpoint) {
                self.charge(index, seen, setting, &mut events);
            }
            return events;
        }
        if seen.total.is_some() {
            self.total = seen.total;
        }
        if let Some(since) = self.empty_since
            && outcome == Outcome::Success
            // What was under way on another worker when this one found nothing shows no recovery.
            && seen.started.unwrap_or(setting.now) > since.saturating_add(SPREAD)
        {
            self.empty_since = None;
            let seconds = seconds_between(since, setting.now);
            events.push(Event::of_cluster(setting.now, setting.cluster, EventKind::UpstreamRecovered { seconds }));
        }
        if let Some(index) = self.endpoint_index(seen, outcome, setting.now) {
            self.judge(index, seen, setting, &mut events);
        }
        let served = (outcome == Outcome::Success).then_some(seen.locality);
        self.step_failover(served, setting, &mut events);
        events
    }

    /// Takes in a request that found no healthy endpoint.
    pub fn no_healthy_upstream(&mut self, total: Option<u32>, setting: &Setting<'_>) -> Vec<Event> {
        if total.is_some() {
            self.total = total;
        }
        if self.empty_since.is_some() {
            return Vec::new();
        }
        self.empty_since = Some(setting.now);
        let endpoints = self.endpoint_count();
        vec![Event::of_cluster(setting.now, setting.cluster, EventKind::NoHealthyUpstream { endpoints })]
    }

    /// Takes in a worker's sums of charged attempts since its last time, by locality.
    pub fn add_traffic(&mut self, sums: &[(Locality, Count)], setting: &Setting<'_>) {
        let length = setting.failover.window.millis();
        for (locality, count) in sums {
            let away = self.failover.as_ref().is_some_and(|going| locality.tier_from(setting.home) > going.home_tier());
            if let Some(place) = self.place(locality) {
                place.window.add(*count, setting.now, length);
            }
            if let Some(going) = self.failover.as_mut().filter(|_| away) {
                going.count_away(count.attempts, count.errors, setting.now);
            }
        }
    }

    /// Takes in how many endpoints are known in each locality, and which have left.
    pub fn set_members(&mut self, counts: &[(Locality, u32)], left: &[u32], setting: &Setting<'_>) {
        if setting.witness && setting.now.abs_diff(self.counted_at) < TRUST_ENVOYS_COUNT {
            return;
        }
        for place in &mut self.places {
            place.members = 0;
        }
        for (locality, count) in counts {
            if let Some(place) = self.place(locality) {
                place.members = *count;
            }
        }
        // They did not return, so no event says so.
        self.endpoints.retain(|endpoint| !left.contains(&endpoint_hash(&endpoint.address)));
    }

    /// What the cluster's gauges should show, as far as it is not 0.
    pub fn levels(&self, cluster: &str) -> Vec<Level> {
        let mut levels = Vec::new();
        for place in &self.places {
            let value = u64::try_from(self.ejected_at(place)).unwrap_or(u64::MAX);
            if value > 0 {
                let values = vec![cluster.to_owned(), place.locality.as_str().to_owned()];
                levels.push(Level { metric: Metric::EjectedEndpoints, values, value });
            }
        }
        if let Some((from, to)) = self.failover.as_ref().map(Active::route) {
            let values = vec![cluster.to_owned(), from.as_str().to_owned(), to.as_str().to_owned()];
            levels.push(Level { metric: Metric::FailoverActive, values, value: 1 });
        }
        levels
    }

    /// Lets time pass: ejections that must be over by now, a failover that moves on or ends, endpoints to forget.
    pub fn tick(&mut self, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        self.watch_panic(setting);
        // Envoy, where it is asked, says so itself; if it does not answer for long, the clock decides.
        let patience = if setting.witness { WITNESS_PATIENCE } else { 0 };
        let told = setting.witness && setting.now.abs_diff(self.counted_at) < WITNESS_PATIENCE;
        for index in 0..self.endpoints.len() {
            let ejection = self.endpoints.get(index).and_then(|endpoint| endpoint.detector.ejection());
            let over = ejection.map(|ejection| ejection.surely_over(setting.outlier).saturating_add(patience));
            if !told && over.is_some_and(|over| setting.now >= over) {
                self.give_back(index, Basis::Inferred, setting, &mut events);
            }
            if !told {
                self.explain(index, None, setting, &mut events);
            }
            let now = setting.now.saturating_mul(1_000);
            let matured = self.endpoints.get_mut(index).and_then(|e| e.detector.matured(now, setting.outlier));
            if let Some(crossing) = matured {
                self.tell_held(index, crossing, setting, &mut events);
            }
        }
        if !setting.witness {
            self.places.iter_mut().for_each(|place| place.unhealthy = 0);
            self.ledger.forget();
        }
        self.decide_unanswered(setting, &mut events);
        self.endpoints.retain(|e| e.detector.ejection().is_some() || setting.now.saturating_sub(e.seen) < FORGET_AFTER);
        self.step_failover(None, setting, &mut events);
        events
    }

    fn push(
        &self,
        index: usize,
        basis: Option<Basis>,
        kind: EventKind,
        setting: &Setting<'_>,
        events: &mut Vec<Event>,
    ) {
        if let Some(endpoint) = self.endpoints.get(index) {
            events.push(Event {
                endpoint: Some(endpoint.address.clone()),
                locality: Some(endpoint.locality.clone()),
                workload: endpoint.workload.clone(),
                basis,
                ..Event::of_cluster(setting.now, setting.cluster, kind)
            });
        }
    }

    /// The endpoint of an attempt; one without a past gets none by an attempt that went well.
    fn endpoint_index(&mut self, seen: &Observed<'_>, outcome: Outcome, now: Millis) -> Option<usize> {
        if let Some(index) = self.endpoints.iter().position(|endpoint| endpoint.address == seen.endpoint) {
            let moved = self.endpoints.get(index).is_some_and(|endpoint| endpoint.locality != *seen.locality);
            if !moved || seen.locality.is_unknown() {
                return Some(index);
            }
            // Envoy made a new endpoint of it then, which has no past.
            self.endpoints.swap_remove(index);
        }
        if !outcome.is_error() {
            return None;
        }
        self.add_endpoint(seen.endpoint, seen.locality, seen.workload, now)
    }

    fn add_endpoint(
        &mut self,
        address: &str,
        locality: &Locality,
        workload: Option<&str>,
        now: Millis,
    ) -> Option<usize> {
        if self.endpoints.len() >= MAX_ENDPOINTS {
            let candidates = self.endpoints.iter().enumerate().filter(|(_, e)| e.detector.ejection().is_none());
            let (oldest, _) = candidates.min_by_key(|(_, e)| e.seen)?;
            self.endpoints.swap_remove(oldest);
        }
        self.place(locality);
        self.endpoints.push(Endpoint {
            address: address.to_owned(),
            locality: locality.clone(),
            workload: workload.map(str::to_owned),
            detector: Detector::default(),
            suspicion: None,
            held: None,
            told: None,
            blocked: false,
            tried: (0, 0),
            doubted: None,
            unexplained: None,
            seen: now,
        });
        self.endpoints.len().checked_sub(1)
    }

    fn place(&mut self, locality: &Locality) -> Option<&mut Place> {
        if !self.places.iter().any(|place| place.locality == *locality) {
            if self.places.len() >= MAX_PLACES {
                return None;
            }
            self.places.push(Place { locality: locality.clone(), members: 0, unhealthy: 0, window: Window::default() });
        }
        self.places.iter_mut().find(|place| place.locality == *locality)
    }
}
