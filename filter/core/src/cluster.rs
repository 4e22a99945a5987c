//! What the workers of a proxy know together of one cluster: endpoints in trouble, where traffic goes, a failover.
//!
//! It is one value. A worker that has news takes the shared value, applies the news, and puts it back if nobody else
//! was faster; otherwise it starts over. So each event is made by exactly one worker, whichever was first. The value
//! holds only endpoints that are in trouble or were lately, and sums; the full list is [`crate::members`].
//!
//! Deliberately not here: how the value is shared, and healthy traffic one by one: it arrives summed up, by
//! [`ClusterState::add_traffic`].

use crate::config::{Failover, OutlierDetection};
use crate::detector::{Crossing, Detector};
use crate::event::{Basis, Event, EventKind, LastAttempt};
use crate::failover::{self, Active, Home, Traffic};
use crate::locality::{Locality, Tier};
use crate::members::endpoint_hash;
use crate::metric::{Change, Metric};
use crate::outcome::{Charges, Outcome};
use crate::time::{Millis, seconds_between};
use crate::window::{Count, Window};
use serde::{Deserialize, Serialize};

/// First byte of the encoded value; another one is not understood and read as nothing known.
const ENCODING: u8 = 1;

/// Endpoints in trouble that are remembered per cluster; beyond it the one unseen for longest is forgotten.
const MAX_ENDPOINTS: usize = 1_000;

/// Localities per cluster.
const MAX_PLACES: usize = 64;

/// An endpoint without traffic for an hour is forgotten with its streaks: it is most likely gone.
const FORGET_AFTER: Millis = 3_600_000;

/// An attempt that was started this long after an ejection was not under way when it happened: Envoy spreads a change
/// of health to its workers at once or, when changes follow each other, within its `update_merge_window` of one second.
const IN_FLIGHT: Millis = 1_500;

/// The rules and the moment that an observation is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// Its outlier detection.
    pub outlier: &'a OutlierDetection,
    /// When a shift of traffic is a failover.
    pub failover: &'a Failover,
    /// The proxy's own locality.
    pub home: &'a Locality,
    /// The time.
    pub now: Millis,
}

/// A finished attempt.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The endpoint, `ip:port`.
    pub endpoint: &'a str,
    /// Its locality.
    pub locality: &'a Locality,
    /// Its workload, `name.namespace`.
    pub workload: Option<&'a str>,
    /// What Envoy charged to it.
    pub charges: Charges,
    /// When the request was started, where known.
    pub started: Option<Millis>,
    /// The attempt in detail, for errors.
    pub last: LastAttempt,
    /// Envoy's count of the cluster's endpoints, where known.
    pub total: Option<u32>,
}

/// An endpoint with a past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Endpoint {
    address: String,
    locality: Locality,
    workload: Option<String>,
    detector: Detector,
    seen: Millis,
}

/// A locality of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    locality: Locality,
    members: u32,
    window: Window,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    endpoints: Vec<Endpoint>,
    places: Vec<Place>,
    total: Option<u32>,
    failover: Option<Active>,
    empty_since: Option<Millis>,
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
        let troubled = self.endpoints.iter().filter(|e| e.detector.is_failing() || e.detector.ejection().is_some());
        let others = [self.failover.is_some(), self.empty_since.is_some()];
        let count = troubled.count().saturating_add(others.iter().filter(|open| **open).count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether the endpoint is ejected, as far as is known.
    pub fn is_ejected(&self, endpoint: &str) -> bool {
        self.endpoints.iter().any(|e| e.address == endpoint && e.detector.ejection().is_some())
    }

    /// Takes in an attempt that went to an endpoint.
    pub fn attempt(&mut self, seen: &Observed<'_>, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let outcome = seen.charges.outcome();
        if outcome == Outcome::NotCharged {
            return events;
        }
        if seen.total.is_some() {
            self.total = seen.total;
        }
        if outcome == Outcome::Success
            && let Some(since) = self.empty_since.take()
        {
            let seconds = seconds_between(since, setting.now);
            events.push(Event::of_cluster(setting.now, setting.cluster, EventKind::UpstreamRecovered { seconds }));
        }
        if let Some(index) = self.endpoint_index(seen, outcome, setting.now) {
            self.judge(index, seen, setting, &mut events);
        }
        self.step_failover(Some(seen.locality), setting, &mut events);
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

    /// Takes in how many endpoints are known in each locality, and which have left. Returns metric changes for those
    /// that left while ejected: they did not return, so no event says so.
    pub fn set_members(&mut self, counts: &[(Locality, u32)], left: &[u32], cluster: &str) -> Vec<Change> {
        for place in &mut self.places {
            place.members = 0;
        }
        for (locality, count) in counts {
            if let Some(place) = self.place(locality) {
                place.members = *count;
            }
        }
        let mut changes = Vec::new();
        self.endpoints.retain(|endpoint| {
            let gone = left.contains(&endpoint_hash(&endpoint.address));
            if gone && endpoint.detector.ejection().is_some() {
                let values = vec![cluster.to_owned(), endpoint.locality.as_str().to_owned()];
                changes.push(Change { metric: Metric::EjectedEndpoints, values, by: -1 });
            }
            !gone
        });
        changes
    }

    /// Lets time pass: ejections that must be over by now, a failover that moves on or ends, endpoints to forget.
    pub fn tick(&mut self, setting: &Setting<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let interval = setting.outlier.interval.millis();
        for index in 0..self.endpoints.len() {
            let due = self.endpoints.get(index).and_then(|e| e.detector.ejection()).map(|ejection| ejection.due);
            // Envoy returns it on the first tick of its interval after that; where in the interval is not known.
            if due.is_some_and(|due| setting.now >= due.saturating_add(interval)) {
                self.give_back(index, setting, &mut events);
            }
        }
        self.endpoints.retain(|e| e.detector.ejection().is_some() || setting.now.saturating_sub(e.seen) < FORGET_AFTER);
        self.step_failover(None, setting, &mut events);
        events
    }

    fn judge(&mut self, index: usize, seen: &Observed<'_>, setting: &Setting<'_>, events: &mut Vec<Event>) {
        if self.shows_return(index, seen.started, setting.now) {
            self.give_back(index, setting, events);
        }
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return;
        };
        endpoint.seen = setting.now;
        for crossing in endpoint.detector.charge(&seen.charges, setting.outlier) {
            if crossing.first {
                let Crossing { kind, threshold, .. } = crossing;
                let (kind, last) = (kind.as_str(), seen.last.clone());
                let streak = EventKind::ErrorStreak { kind, streak: threshold, threshold, last };
                self.push(index, None, streak, setting, events);
            }
            self.eject(index, crossing, setting, events);
        }
    }

    /// Ejects the endpoint if Envoy would: not when it is ejected already, nor beyond the percent cap.
    fn eject(&mut self, index: usize, crossing: Crossing, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let active = self.ejected_count().saturating_add(1);
        let endpoints = self.endpoint_count().max(active);
        let percent = u64::from(active).saturating_mul(100);
        let allowed = u64::from(endpoints).saturating_mul(u64::from(setting.outlier.max_ejection_percent.min(100)));
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return;
        };
        if endpoint.detector.ejection().is_some() || percent > allowed {
            return;
        }
        endpoint.detector.eject(setting.now, setting.outlier);
        let ejected = EventKind::EndpointEjected {
            reason: crossing.kind.eject_reason(),
            ejection: endpoint.detector.ejections(),
            ejected_endpoints: active,
            endpoints,
        };
        self.push(index, Some(Basis::Inferred), ejected, setting, events);
    }

    /// Whether an attempt at an ejected endpoint shows that it is back: it was started well after the ejection, so the
    /// load balancer chose it. With every endpoint ejected the balancer may choose from all (panic), which shows
    /// nothing before the ejection time is over.
    fn shows_return(&self, index: usize, started: Option<Millis>, now: Millis) -> bool {
        let Some(ejection) = self.endpoints.get(index).and_then(|e| e.detector.ejection()) else {
            return false;
        };
        let over = now >= ejection.due;
        match started {
            Some(started) if started > ejection.at.saturating_add(IN_FLIGHT) => {
                over || self.ejected_count() < self.endpoint_count()
            }
            Some(started) => over && started > ejection.at,
            None => over,
        }
    }

    fn give_back(&mut self, index: usize, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return;
        };
        let Some(ejection) = endpoint.detector.give_back(setting.now) else {
            return;
        };
        endpoint.seen = setting.now;
        let returned = EventKind::EndpointReturned {
            ejected_seconds: seconds_between(ejection.at, setting.now),
            ejection: endpoint.detector.ejections(),
        };
        self.push(index, Some(Basis::Inferred), returned, setting, events);
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
            return Some(index);
        }
        if !outcome.is_error() {
            return None;
        }
        if self.endpoints.len() >= MAX_ENDPOINTS {
            let candidates = self.endpoints.iter().enumerate().filter(|(_, e)| e.detector.ejection().is_none());
            let (oldest, _) = candidates.min_by_key(|(_, e)| e.seen)?;
            self.endpoints.swap_remove(oldest);
        }
        self.place(seen.locality);
        self.endpoints.push(Endpoint {
            address: seen.endpoint.to_owned(),
            locality: seen.locality.clone(),
            workload: seen.workload.map(str::to_owned),
            detector: Detector::default(),
            seen: now,
        });
        self.endpoints.len().checked_sub(1)
    }

    fn place(&mut self, locality: &Locality) -> Option<&mut Place> {
        if !self.places.iter().any(|place| place.locality == *locality) {
            if self.places.len() >= MAX_PLACES {
                return None;
            }
            self.places.push(Place { locality: locality.clone(), members: 0, window: Window::default() });
        }
        self.places.iter_mut().find(|place| place.locality == *locality)
    }

    fn ejected_count(&self) -> u32 {
        let ejected = self.endpoints.iter().filter(|endpoint| endpoint.detector.ejection().is_some()).count();
        u32::try_from(ejected).unwrap_or(u32::MAX)
    }

    /// Envoy's count of endpoints, or ours.
    fn endpoint_count(&self) -> u32 {
        let known = self.places.iter().fold(0_u32, |sum, place| sum.saturating_add(self.known_at(place)));
        self.total.unwrap_or(known)
    }

    /// Endpoints known in a place: those that traffic showed, and surely those in trouble.
    fn known_at(&self, place: &Place) -> u32 {
        let troubled = self.endpoints.iter().filter(|endpoint| endpoint.locality == place.locality).count();
        place.members.max(u32::try_from(troubled).unwrap_or(u32::MAX))
    }

    fn home(&self, home: &Locality) -> Option<Home> {
        let tier_of = |place: &Place| place.locality.tier_from(home);
        let tier = self.places.iter().filter(|place| self.known_at(place) > 0).map(tier_of).min()?;
        let mut found = Home { tier, locality: Locality::default(), endpoints: 0, healthy: 0, troubled: false };
        let mut most = None;
        for place in self.places.iter().filter(|place| tier_of(place) == tier) {
            let here = || self.endpoints.iter().filter(|endpoint| endpoint.locality == place.locality);
            let ejected = here().filter(|endpoint| endpoint.detector.ejection().is_some()).count();
            let failing = here().filter(|endpoint| endpoint.detector.is_failing()).count();
            let known = self.known_at(place);
            let healthy = known.saturating_sub(u32::try_from(ejected).unwrap_or(u32::MAX));
            found.endpoints = found.endpoints.saturating_add(known);
            found.healthy = found.healthy.saturating_add(healthy);
            found.troubled |= ejected > 0 || failing > 0;
            let rank = Some((ejected, failing, known));
            if rank > most {
                most = rank;
                found.locality = place.locality.clone();
            }
        }
        Some(found)
    }

    fn traffic(&self, home_tier: Tier, setting: &Setting<'_>) -> Traffic {
        let mut traffic = Traffic::default();
        let mut most = 0;
        for place in &self.places {
            let attempts = place.window.sum(setting.now, setting.failover.window.millis()).attempts;
            traffic.attempts = traffic.attempts.saturating_add(attempts);
            let tier = place.locality.tier_from(setting.home);
            if tier > home_tier {
                traffic.away = traffic.away.saturating_add(attempts);
                if attempts > most {
                    most = attempts;
                    traffic.busiest = Some((place.locality.clone(), tier));
                }
            }
        }
        traffic
    }

    fn step_failover(&mut self, served: Option<&Locality>, setting: &Setting<'_>, events: &mut Vec<Event>) {
        let home = self.home(setting.home);
        let home_tier = home.as_ref().map_or(Tier::Elsewhere, |home| home.tier);
        let traffic = self.traffic(self.failover.as_ref().map_or(home_tier, Active::home_tier), setting);
        let served = served.map(|to| (to, to.tier_from(setting.home))).filter(|(_, tier)| *tier > home_tier);
        let step = failover::step(&mut self.failover, home.as_ref(), &traffic, served, setting.failover, setting.now);
        if let Some(kind) = step {
            let basis = Some(Basis::Inferred);
            events.push(Event { basis, ..Event::of_cluster(setting.now, setting.cluster, kind) });
        }
    }
}
