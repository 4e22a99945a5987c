//! The clusters and endpoints that this VM has seen, and its counts since they were last shared.
//!
//! Counting a healthy request costs a look-up and an addition; everything that costs more waits for the heartbeat. The
//! number of endpoints is bounded by `limits.endpoints`; further ones are counted with their locality but not
//! remembered.

pub(crate) use super::index::{ClusterIndex, LocalityIndex};
use super::roots::Configuration;
use filter_core::cluster::MAX_LOCALITIES;
use filter_core::cluster::members::endpoint_hash;
use filter_core::config::{Config, OutlierDetection};
use filter_core::endpoint::outcome::Outcome;
use filter_core::failover::Count;
use filter_core::locality::Locality;
use filter_core::order;
use filter_core::text::lossy;
use filter_core::time::Millis;
use fnv::{FnvBuildHasher, FnvHashMap};
use std::hash::BuildHasher;
use std::rc::Rc;

/// After this many heartbeats, a locality is read again: an endpoint may have moved.
const REREAD_LOCALITY_BEATS: u32 = 30;

/// A locality that has had no attempt for so long, in milliseconds, may be news when it gets one: traffic may have
/// moved.
const UNUSED_LOCALITY_MS: Millis = 10_000;

/// How often it may become doubtful where endpoints lie, in milliseconds.
const DOUBT_INTERVAL_MS: Millis = 1_000;

/// After this many heartbeats, Envoy's count of a cluster's endpoints is read again.
const REREAD_ENDPOINT_COUNT_BEATS: u32 = 5;

/// After this many heartbeats without traffic, an endpoint is forgotten; at one a second, ten minutes.
const FORGET_ENDPOINT_BEATS: u32 = 600;

/// Whether a recently read locality of an endpoint is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalityRead {
    Cached,
    /// For a request that stands for so many. Its endpoint is met that much more seldom, so its locality may be that
    /// much older: of many endpoints' localities, each would otherwise be read again with each request.
    Sampled(u32),
    Fresh,
}

impl LocalityRead {
    /// How many heartbeats ago the locality may have been read.
    fn max_beats(self) -> u32 {
        match self {
            Self::Cached => REREAD_LOCALITY_BEATS,
            Self::Sampled(stands_for) => REREAD_LOCALITY_BEATS.saturating_mul(stands_for),
            Self::Fresh => 0,
        }
    }

    /// An error counts against its endpoint's locality, so the locality is read again.
    pub(crate) fn for_outcome(outcome: Outcome) -> Self {
        if outcome.is_error() { Self::Fresh } else { Self::Cached }
    }
}

/// A locality of a cluster, and its attempts by outcome since they were last shared.
#[derive(Debug, Default)]
struct LocalityCounts {
    locality: Locality,
    counts: [u32; Outcome::ALL.len()],
    /// The time of the heartbeat after which it last had an attempt; `None` if never.
    used_at: Option<Millis>,
}

/// A cluster that this VM has seen.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Its name.
    pub(crate) name: String,
    /// The configuration by which its requests were last evaluated.
    pub(crate) configuration: Rc<Configuration>,
    /// Envoy's count of its endpoints, when last read.
    pub(crate) endpoint_count: Option<u32>,
    /// Whether `endpoint_count` should be read with the next request.
    pub(crate) endpoint_count_is_old: bool,
    /// Whether its list of endpoints should be shared.
    pub(crate) members_changed: bool,
    /// How often that list was shared, and the endpoints that were seen since, as hashes with their localities. One
    /// that moves is there twice.
    round: u32,
    seen: Vec<(u32, LocalityIndex)>,
    /// Whether its shared state had open findings when last seen.
    pub(crate) is_troubled: bool,
    /// Requests that took more than one attempt, since they were last shared.
    pub(crate) retried: u32,
    /// The clusters that it consists of, if it is an aggregate one.
    members: Vec<String>,
    /// The members to which hosts belong, by the hashes of their addresses, in the order of these.
    owners: Vec<(u32, ClusterIndex)>,
    localities: Vec<LocalityCounts>,
    /// Its outlier detection settings by each configuration, by the configuration's number; `None` if the configuration
    /// ignores it.
    rules: Vec<(u32, Option<OutlierDetection>)>,
}

/// An endpoint that this VM has seen.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    locality: LocalityIndex,
    hash: u32,
    /// Heartbeat at which its locality was read, and the generation that it belongs to.
    read_at: u32,
    generation: u32,
    /// Heartbeat at which it was last seen.
    seen_at: u32,
    /// Its cluster's round in which it was last noted as seen.
    round: u32,
}

/// The clusters and endpoints, by name and by index.
#[derive(Debug, Default)]
pub(crate) struct Known {
    clusters: Vec<Cluster>,
    by_name: FnvHashMap<Box<[u8]>, usize>,
    /// By a hash of the cluster's index and the endpoint's address, which would take more room than what is kept.
    endpoints: FnvHashMap<u64, Endpoint>,
    beat: u32,
    /// How often everything that was read of endpoints became doubtful, and when it last did.
    generation: u32,
    doubted_at: Millis,
    /// Since when attempts have been counted that were not shared yet; 0 before the first heartbeat.
    counted_since: Millis,
    limit: usize,
    /// Clusters that were met lately.
    new: Vec<ClusterIndex>,
}

impl Known {
    /// Applies what holds for the proxy as a whole. Clusters of a configuration that is not among the `living` ones
    /// follow the newest of these.
    pub(crate) fn configure(&mut self, config: &Config, living: &[Rc<Configuration>]) {
        self.limit = usize::try_from(config.limits.endpoints).unwrap_or(usize::MAX);
        for cluster in &mut self.clusters {
            cluster.rules.retain(|(number, _)| living.iter().any(|configuration| configuration.number == *number));
            let is_living = living.iter().any(|configuration| configuration.number == cluster.configuration.number);
            if let Some(newest) = living.first().filter(|_| !is_living) {
                cluster.follow(newest);
            }
        }
    }

    /// The index of the cluster with this name, which is then evaluated by `configuration`; `None` if that ignores it,
    /// or if it exceeds the limit.
    pub(crate) fn cluster(&mut self, name: &[u8], configuration: &Rc<Configuration>) -> Option<ClusterIndex> {
        if let Some(index) = self.by_name.get(name).copied().map(ClusterIndex) {
            let cluster = self.get_mut(index)?;
            if cluster.configuration.number != configuration.number {
                cluster.follow(configuration);
            }
            return cluster.is_watched().then_some(index);
        }
        if name.is_empty() || self.clusters.len() >= self.limit {
            return None;
        }
        let text = lossy(name).into_owned();
        let index = ClusterIndex(self.clusters.len());
        let mut cluster = Cluster {
            name: text,
            configuration: Rc::clone(configuration),
            endpoint_count: None,
            endpoint_count_is_old: true,
            members_changed: false,
            round: 0,
            seen: Vec::new(),
            is_troubled: false,
            retried: 0,
            members: Vec::new(),
            owners: Vec::new(),
            localities: Vec::new(),
            rules: Vec::new(),
        };
        cluster.follow(configuration);
        let is_watched = cluster.is_watched();
        self.clusters.push(cluster);
        self.by_name.insert(name.into(), index.0);
        if is_watched {
            self.new.push(index);
        }
        is_watched.then_some(index)
    }

    /// The index of a cluster that is known, by whichever configuration its requests are evaluated.
    pub(crate) fn index(&self, name: &str) -> Option<ClusterIndex> {
        self.by_name.get(name.as_bytes()).copied().map(ClusterIndex)
    }

    /// A cluster by its index.
    pub(crate) fn get(&self, cluster: ClusterIndex) -> Option<&Cluster> {
        self.clusters.get(cluster.0)
    }

    /// A cluster by its index, mutable.
    pub(crate) fn get_mut(&mut self, cluster: ClusterIndex) -> Option<&mut Cluster> {
        self.clusters.get_mut(cluster.0)
    }

    /// The names of all clusters.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.clusters.iter().map(|cluster| cluster.name.as_str())
    }

    /// The indices of all clusters.
    pub(crate) fn indices(&self) -> impl Iterator<Item = ClusterIndex> + use<> {
        (0..self.clusters.len()).map(ClusterIndex)
    }

    /// Whether a cluster is watched, that is, not ignored.
    pub(crate) fn is_watched(&self, cluster: ClusterIndex) -> bool {
        self.get(cluster).is_some_and(Cluster::is_watched)
    }

    /// Whether any cluster is watched.
    pub(crate) fn watches_any(&self) -> bool {
        self.clusters.iter().any(Cluster::is_watched)
    }

    /// A cluster by its name.
    pub(crate) fn find(&self, name: &str) -> Option<&Cluster> {
        self.by_name.get(name.as_bytes()).and_then(|index| self.get(ClusterIndex(*index)))
    }

    /// Whether clusters were met since they were last taken.
    pub(crate) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// The clusters that were met since the last call.
    pub(crate) fn take_new(&mut self) -> Vec<ClusterIndex> {
        std::mem::take(&mut self.new)
    }

    /// The clusters that an aggregate cluster consists of; none if it is not known as one.
    pub(crate) fn members(&self, name: &str) -> &[String] {
        self.find(name).map(|cluster| cluster.members.as_slice()).unwrap_or_default()
    }

    /// Sets the clusters that a cluster consists of.
    pub(crate) fn set_members(&mut self, cluster: ClusterIndex, members: &[String]) {
        if let Some(cluster) = self.get_mut(cluster).filter(|cluster| cluster.members != members) {
            cluster.members = members.to_vec();
            cluster.owners.clear();
        }
    }

    /// The aggregate clusters, each with its members.
    pub(crate) fn aggregates(&self) -> impl Iterator<Item = (&str, &[String])> {
        let aggregates = self.clusters.iter().filter(|cluster| !cluster.members.is_empty());
        aggregates.map(|cluster| (cluster.name.as_str(), cluster.members.as_slice()))
    }

    /// Sets which members the hosts of an aggregate cluster belong to.
    pub(crate) fn set_owners(&mut self, aggregate: ClusterIndex, members: &[(String, Vec<u32>)]) {
        let Some(configuration) = self.get(aggregate).map(|cluster| Rc::clone(&cluster.configuration)) else { return };
        let mut owners = Vec::new();
        // Of several members that have a host, the last one owns it.
        for (member, hosts) in members.iter().rev() {
            if let Some(index) = self.cluster(member.as_bytes(), &configuration) {
                owners.extend(hosts.iter().map(|hash| (*hash, index)));
            }
        }
        order::sort(&mut owners, |(a, _), (b, _)| a < b);
        owners.dedup_by_key(|(hash, _)| *hash);
        if let Some(cluster) = self.get_mut(aggregate) {
            cluster.owners = owners;
        }
    }

    /// The cluster to which an endpoint belongs that a request of `cluster` went to: a member, if `cluster` is an
    /// aggregate one and its hosts are known, else `cluster` itself.
    pub(crate) fn owner(&self, cluster: ClusterIndex, endpoint: &[u8]) -> ClusterIndex {
        let Some(known) = self.get(cluster).filter(|known| !known.owners.is_empty()) else { return cluster };
        let hash = endpoint_hash(&lossy(endpoint));
        let place = known.owners.binary_search_by_key(&hash, |(known, _)| *known).ok();
        place.and_then(|place| known.owners.get(place)).map_or(cluster, |(_, owner)| *owner)
    }

    /// The locality of an endpoint. Calls `read` if the endpoint is new, if its locality was read too long ago, or if
    /// it must be read again.
    pub(crate) fn locality(
        &mut self,
        cluster: ClusterIndex,
        endpoint: &[u8],
        which: LocalityRead,
        read: impl FnOnce() -> Locality,
    ) -> Option<LocalityIndex> {
        let key = FnvBuildHasher::default().hash_one((cluster.0, endpoint));
        let (beat, generation) = (self.beat, self.generation);
        let cluster = self.clusters.get_mut(cluster.0)?;
        let fresh =
            |known: &Endpoint| beat.saturating_sub(known.read_at) < which.max_beats() && known.generation == generation;
        let before = self.endpoints.get_mut(&key);
        if let Some(known) = before.filter(|known| fresh(known)) {
            known.seen_at = beat;
            cluster.note_seen(known);
            return Some(known.locality);
        }
        let locality = cluster.locality_index(read());
        if let Some(known) = self.endpoints.get_mut(&key) {
            (known.read_at, known.generation, known.seen_at) = (beat, generation, beat);
            if known.locality != locality {
                known.locality = locality;
                known.round = cluster.round.wrapping_sub(1);
                cluster.members_changed = true;
            }
            cluster.note_seen(known);
        } else if self.endpoints.len() < self.limit {
            let hash = endpoint_hash(&lossy(endpoint));
            let round = cluster.round.wrapping_sub(1);
            let mut known = Endpoint { locality, hash, read_at: beat, generation, seen_at: beat, round };
            cluster.note_seen(&mut known);
            self.endpoints.insert(key, known);
            cluster.members_changed = true;
            cluster.endpoint_count_is_old = true;
        }
        Some(locality)
    }

    /// Has the localities of all endpoints read again when they are next used, unless they were just read again.
    pub(crate) fn doubt_localities(&mut self) {
        if self.counted_since.abs_diff(self.doubted_at) >= DOUBT_INTERVAL_MS {
            self.doubted_at = self.counted_since;
            self.generation = self.generation.saturating_add(1);
        }
    }

    /// Notes that an attempt went to a locality. Returns whether that may be news: the cluster has others, and this one
    /// has had none yet or for a while.
    pub(crate) fn note_use(&mut self, cluster: ClusterIndex, locality: LocalityIndex) -> bool {
        let now = self.counted_since;
        let Some(localities) = self.get_mut(cluster).map(|cluster| &mut cluster.localities) else { return false };
        let has_others = localities.len() > 1;
        let Some(used_at) = localities.get_mut(locality.0).map(|known| &mut known.used_at) else { return false };
        let before = used_at.replace(now);
        has_others && before.is_none_or(|before| now.abs_diff(before) >= UNUSED_LOCALITY_MS)
    }

    /// Counts an attempt.
    pub(crate) fn count_attempt(&mut self, cluster: ClusterIndex, locality: LocalityIndex, outcome: Outcome) {
        self.count_attempts(cluster, locality, outcome, 1);
    }

    /// Counts attempts.
    pub(crate) fn count_attempts(
        &mut self,
        cluster: ClusterIndex,
        locality: LocalityIndex,
        outcome: Outcome,
        attempts: u32,
    ) {
        let Some(cluster) = self.get_mut(cluster) else { return };
        let locality = cluster.localities.get_mut(locality.0);
        if let Some(count) = locality.and_then(|locality| locality.counts.get_mut(outcome as usize)) {
            *count = count.saturating_add(attempts);
        }
    }

    /// Counts a request that took more than one attempt.
    pub(crate) fn count_retried_request(&mut self, cluster: ClusterIndex) {
        if let Some(cluster) = self.get_mut(cluster) {
            cluster.retried = cluster.retried.saturating_add(1);
        }
    }

    /// Counts a heartbeat and returns the number so far. At intervals, forgets endpoints without traffic, and has
    /// Envoy's counts of endpoints read again.
    pub(crate) fn next_beat(&mut self) -> u32 {
        self.beat = self.beat.saturating_add(1);
        if self.beat.is_multiple_of(REREAD_ENDPOINT_COUNT_BEATS) {
            for cluster in &mut self.clusters {
                cluster.endpoint_count_is_old = true;
            }
        }
        if self.beat.is_multiple_of(FORGET_ENDPOINT_BEATS) {
            let beat = self.beat;
            self.endpoints.retain(|_, endpoint| beat.saturating_sub(endpoint.seen_at) < FORGET_ENDPOINT_BEATS);
        }
        self.beat
    }

    /// What is counted from now on belongs to the next heartbeat; returns when the present counts were begun.
    pub(crate) fn start_counting(&mut self, now: Millis) -> Millis {
        std::mem::replace(&mut self.counted_since, now)
    }
}

impl Cluster {
    /// Whether the cluster is not ignored.
    pub(crate) fn is_watched(&self) -> bool {
        self.rule().is_some()
    }

    /// Its outlier detection settings by its configuration; `None` if that ignores it.
    pub(crate) fn rule(&self) -> Option<&OutlierDetection> {
        let mine = |(number, _): &&(u32, _)| *number == self.configuration.number;
        self.rules.iter().find(mine).and_then(|(_, rule)| rule.as_ref())
    }

    fn follow(&mut self, configuration: &Rc<Configuration>) {
        self.configuration = Rc::clone(configuration);
        if !self.rules.iter().any(|(number, _)| *number == configuration.number) {
            self.rules.push((configuration.number, configuration.config.rules_for(&self.name).cloned()));
        }
    }

    /// One of its localities by index.
    pub(crate) fn locality(&self, index: LocalityIndex) -> Option<&Locality> {
        self.localities.get(index.0).map(|known| &known.locality)
    }

    /// What was counted since the last call: for each locality and outcome, how often.
    pub(crate) fn take_counts(&mut self) -> Vec<(Locality, Outcome, u32)> {
        let mut taken = Vec::new();
        for known in &mut self.localities {
            for (outcome, count) in Outcome::ALL.into_iter().zip(&mut known.counts) {
                if *count > 0 {
                    taken.push((known.locality.clone(), outcome, std::mem::take(count)));
                }
            }
        }
        taken
    }

    /// Notes that an endpoint was seen, if it was not already since the list of endpoints was last shared.
    fn note_seen(&mut self, endpoint: &mut Endpoint) {
        if endpoint.round != self.round {
            endpoint.round = self.round;
            self.seen.push((endpoint.hash, endpoint.locality));
        }
    }

    /// The endpoints that were seen since the last call, as hashes with their localities.
    pub(crate) fn take_seen(&mut self) -> Vec<(u32, &Locality)> {
        self.round = self.round.wrapping_add(1);
        let seen = std::mem::take(&mut self.seen);
        seen.into_iter().filter_map(|(hash, at)| Some((hash, self.locality(at)?))).collect()
    }

    fn locality_index(&mut self, locality: Locality) -> LocalityIndex {
        let known = self.localities.iter().position(|known| known.locality == locality);
        LocalityIndex(known.unwrap_or_else(|| {
            // The last entry is shared by all localities that have none of their own.
            let last = MAX_LOCALITIES.saturating_sub(1);
            if self.localities.len() > last {
                return last;
            }
            let locality = if self.localities.len() == last { Locality::default() } else { locality };
            self.localities.push(LocalityCounts { locality, ..LocalityCounts::default() });
            self.localities.len().saturating_sub(1)
        }))
    }
}

/// Sums of charged attempts by locality, in the form that a cluster's shared state takes.
pub(crate) fn charged(counts: &[(Locality, Outcome, u32)]) -> Vec<(Locality, Count)> {
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
