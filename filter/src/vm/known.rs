//! The clusters and endpoints that this VM has met, and its counts since they were last handed on.
//!
//! Counting a healthy request is a look-up and an addition here; everything that costs more waits for the heartbeat.
//! Bounded by `limits.endpoints`; an endpoint beyond it is counted with its locality and not remembered.

use filter_core::cluster::Setting;
use filter_core::config::{Config, OutlierDetection};
use filter_core::locality::Locality;
use filter_core::members::endpoint_hash;
use filter_core::outcome::Outcome;
use filter_core::time::Millis;
use filter_core::window::Count;
use rustc_hash::FxHashMap;

/// Localities per cluster that are counted apart; the rest is counted as unknown.
const MAX_PLACES: usize = 64;

/// Heartbeats after which a locality that was read is read again: an endpoint may have been moved.
const TRUST_LOCALITY: u64 = 64;

/// Heartbeats after which an endpoint without traffic is forgotten; at one a second, ten minutes.
const FORGET_AFTER: u64 = 600;

/// A locality of a cluster and the attempts since the last hand-over, by outcome.
#[derive(Debug, Default)]
pub struct Place {
    /// The locality.
    pub locality: Locality,
    counts: [u32; Outcome::ALL.len()],
}

/// A cluster that this VM has met.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its outlier detection; `None` when it is to be ignored.
    pub outlier: Option<OutlierDetection>,
    /// Envoy's count of its endpoints, when last read.
    pub total: Option<u32>,
    /// Whether `total` is to be read with the next request.
    pub total_is_old: bool,
    /// Whether its list of endpoints is to be handed on.
    pub members_changed: bool,
    /// Whether its shared state had open findings when last seen.
    pub troubled: bool,
    /// Requests that took more than one attempt since the last hand-over.
    pub retried: u32,
    places: Vec<Place>,
}

/// An endpoint that this VM has met.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    cluster: usize,
    place: usize,
    hash: u32,
    /// Heartbeat at which its locality was read.
    read_at: u64,
    /// Heartbeat at which it was last seen.
    seen_at: u64,
    /// Whether it was seen since the list of endpoints was handed on.
    seen: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Known {
    clusters: Vec<Cluster>,
    by_name: FxHashMap<Box<[u8]>, usize>,
    endpoints: FxHashMap<Box<[u8]>, Endpoint>,
    key: Vec<u8>,
    beat: u64,
    limit: usize,
}

impl Known {
    /// Takes over a configuration: its rules for each cluster, its bound.
    pub fn configure(&mut self, config: &Config) {
        self.limit = usize::try_from(config.limits.endpoints).unwrap_or(usize::MAX);
        for cluster in &mut self.clusters {
            cluster.outlier = config.rules_for(&cluster.name).cloned();
        }
    }

    /// The number of the cluster with this name; `None` when it is to be ignored, or one too many.
    pub fn cluster(&mut self, name: &[u8], config: &Config) -> Option<usize> {
        if let Some(index) = self.by_name.get(name) {
            return self.clusters.get(*index).filter(|cluster| cluster.outlier.is_some()).map(|_| *index);
        }
        if name.is_empty() || self.clusters.len() >= self.limit {
            return None;
        }
        let text = String::from_utf8_lossy(name).into_owned();
        let outlier = config.rules_for(&text).cloned();
        let ignored = outlier.is_none();
        let index = self.clusters.len();
        self.clusters.push(Cluster {
            name: text,
            outlier,
            total: None,
            total_is_old: true,
            members_changed: false,
            troubled: false,
            retried: 0,
            places: Vec::new(),
        });
        self.by_name.insert(name.into(), index);
        (!ignored).then_some(index)
    }

    /// A cluster by its number.
    pub fn get(&self, cluster: usize) -> Option<&Cluster> {
        self.clusters.get(cluster)
    }

    /// A cluster by its number, to be changed.
    pub fn get_mut(&mut self, cluster: usize) -> Option<&mut Cluster> {
        self.clusters.get_mut(cluster)
    }

    /// How many clusters there are; their numbers are from 0 on.
    pub fn count_clusters(&self) -> usize {
        self.clusters.len()
    }

    /// Whether any cluster is watched.
    pub fn watches_any(&self) -> bool {
        self.clusters.iter().any(|cluster| cluster.outlier.is_some())
    }

    /// The names of the clusters that are watched.
    pub fn names(&self) -> Vec<String> {
        let watched = self.clusters.iter().filter(|cluster| cluster.outlier.is_some());
        watched.map(|cluster| cluster.name.clone()).collect()
    }

    /// The place of an endpoint's traffic. `locality` is asked when it is new, or was read too long ago, or `fresh`.
    pub fn place(
        &mut self,
        cluster: usize,
        endpoint: &[u8],
        fresh: bool,
        locality: impl FnOnce() -> Locality,
    ) -> Option<usize> {
        self.key.clear();
        self.key.extend_from_slice(&cluster.to_le_bytes());
        self.key.extend_from_slice(endpoint);
        let beat = self.beat;
        if let Some(known) = self.endpoints.get_mut(self.key.as_slice()) {
            known.seen = true;
            known.seen_at = beat;
            if !fresh && beat.saturating_sub(known.read_at) < TRUST_LOCALITY {
                return Some(known.place);
            }
        }
        let place = self.clusters.get_mut(cluster)?.place(locality());
        if let Some(known) = self.endpoints.get_mut(self.key.as_slice()) {
            known.read_at = beat;
            if known.place != place {
                known.place = place;
                self.clusters.get_mut(cluster)?.members_changed = true;
            }
            return Some(place);
        }
        if self.endpoints.len() < self.limit {
            let hash = endpoint_hash(&String::from_utf8_lossy(endpoint));
            let known = Endpoint { cluster, place, hash, read_at: beat, seen_at: beat, seen: true };
            self.endpoints.insert(self.key.as_slice().into(), known);
            let cluster = self.clusters.get_mut(cluster)?;
            cluster.members_changed = true;
            cluster.total_is_old = true;
        }
        Some(place)
    }

    /// Counts an attempt.
    pub fn count(&mut self, cluster: usize, place: usize, outcome: Outcome, retried: bool) {
        self.count_retried(cluster, retried);
        let Some(cluster) = self.clusters.get_mut(cluster) else { return };
        if let Some(count) = cluster.places.get_mut(place).and_then(|place| place.counts.get_mut(outcome as usize)) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts a request by whether it took more than one attempt.
    pub fn count_retried(&mut self, cluster: usize, retried: bool) {
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.retried = cluster.retried.saturating_add(u32::from(retried));
        }
    }

    /// A new heartbeat. Every so often, forgets endpoints without traffic and asks for Envoy's count anew.
    pub fn next_beat(&mut self) -> u64 {
        self.beat = self.beat.saturating_add(1);
        if self.beat.is_multiple_of(5) {
            for cluster in &mut self.clusters {
                cluster.total_is_old = true;
            }
        }
        if self.beat.is_multiple_of(FORGET_AFTER) {
            let beat = self.beat;
            self.endpoints.retain(|_, endpoint| beat.saturating_sub(endpoint.seen_at) < FORGET_AFTER);
        }
        self.beat
    }

    /// The endpoints of a cluster that were seen since the last call, as hashes with their localities.
    pub fn take_seen(&mut self, cluster: usize) -> Vec<(u32, Locality)> {
        let Some(places) = self.clusters.get(cluster).map(|cluster| &cluster.places) else { return Vec::new() };
        let mut seen = Vec::new();
        for endpoint in self.endpoints.values_mut().filter(|endpoint| endpoint.cluster == cluster && endpoint.seen) {
            endpoint.seen = false;
            if let Some(place) = places.get(endpoint.place) {
                seen.push((endpoint.hash, place.locality.clone()));
            }
        }
        seen
    }
}

impl Cluster {
    /// The rules and the moment for judging what is observed of this cluster; `None` when it is ignored. `witness` says
    /// whether Envoy's own word is to be waited for.
    pub fn setting<'a>(
        &'a self,
        config: &'a Config,
        home: &'a Locality,
        now: Millis,
        witness: bool,
    ) -> Option<Setting<'a>> {
        let outlier = self.outlier.as_ref()?;
        Some(Setting { cluster: &self.name, outlier, failover: &config.failover, home, now, witness })
    }

    /// The locality of a place.
    pub fn locality(&self, place: usize) -> Option<&Locality> {
        self.places.get(place).map(|place| &place.locality)
    }

    /// What was counted since the last call: for each locality and outcome, how often.
    pub fn take_counts(&mut self) -> Vec<(Locality, Outcome, u32)> {
        let mut taken = Vec::new();
        for place in &mut self.places {
            for (outcome, count) in Outcome::ALL.into_iter().zip(&mut place.counts) {
                if *count > 0 {
                    taken.push((place.locality.clone(), outcome, std::mem::take(count)));
                }
            }
        }
        taken
    }

    fn place(&mut self, locality: Locality) -> usize {
        let known = self.places.iter().position(|place| place.locality == locality);
        known.unwrap_or_else(|| {
            // The last one is for all that have none of their own.
            let last = MAX_PLACES.saturating_sub(1);
            if self.places.len() > last {
                return last;
            }
            let locality = if self.places.len() == last { Locality::default() } else { locality };
            self.places.push(Place { locality, ..Place::default() });
            self.places.len().saturating_sub(1)
        })
    }
}

/// Sums of charged attempts by locality, as a cluster's shared state wants them.
pub fn charged(counts: &[(Locality, Outcome, u32)]) -> Vec<(Locality, Count)> {
    let mut sums: Vec<(Locality, Count)> = Vec::new();
    for (locality, outcome, count) in counts {
        if *outcome == Outcome::NotCharged {
            continue;
        }
        let errors = if outcome.is_error() { *count } else { 0 };
        let sum = Count { attempts: *count, errors };
        match sums.iter_mut().find(|(known, _)| known == locality) {
            Some((_, known)) => known.add(sum),
            None => sums.push((locality.clone(), sum)),
        }
    }
    sums
}
