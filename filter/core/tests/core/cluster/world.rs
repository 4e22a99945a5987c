//! A cluster in virtual time, as two workers of a proxy see it: requests, heartbeats and Envoy's lists.

use filter_core::admin::host_lists::HostStatus;
use filter_core::cluster::host_totals::Growth;
use filter_core::cluster::{self, AttemptObservation, ClusterState, EvaluationContext};
use filter_core::config::{Config, parse};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::event::{Event, EventKind, LastAttempt, Route};
use filter_core::failover::Count;
use filter_core::locality::Locality;

pub(super) const HOME: &str = "eu/a";
pub(super) const NEAR: &str = "eu/b";
pub(super) const FAR: &str = "us/c";

const BEAT_MS: u64 = 1_000;
const STEP_MS: u64 = 10;

/// A worker: the attempts that it has not shared yet, and when it last shared them.
struct Worker {
    counts: Vec<(Locality, Count)>,
    shared_at: u64,
}

pub(super) struct World {
    bytes: Vec<u8>,
    open: u32,
    config: Config,
    home: Locality,
    /// In milliseconds.
    pub now: u64,
    /// The hosts as they are. What the filter learns of them, it learns from lists.
    pub hosts: Vec<HostStatus>,
    /// How often Envoy is asked for its list, in milliseconds; `None` without a witness.
    list_interval: Option<u64>,
    workers: [Worker; 2],
    requests: u64,
    random: u64,
    pub events: Vec<Event>,
}

/// A host, `unhealthy` and `ejected` not.
pub(super) fn host(address: &str, locality: &str, priority: u32) -> HostStatus {
    let (address, locality) = (address.to_owned(), Locality::parse(locality));
    HostStatus { address, locality, priority, healthy: true, ..HostStatus::default() }
}

/// The value as the next worker finds it. A cut one is nothing, and a damaged one is anything but a panic.
pub(super) fn shared(state: &ClusterState) -> Vec<u8> {
    let mut bytes = state.encode();
    assert_eq!(&ClusterState::decode(&bytes), state);
    let somewhere = state.open_findings() as usize * 7 % bytes.len();
    assert_eq!(ClusterState::decode(&bytes[..somewhere]), ClusterState::default());
    let whole = bytes.clone();
    for (shift, byte) in bytes.iter_mut().skip(1).step_by(5).enumerate() {
        *byte ^= 1_u8.rotate_left(shift as u32);
    }
    ClusterState::decode(&bytes).encode();
    whole
}

impl World {
    /// A cluster that has just become known.
    pub(super) fn new(failover: &str, home: &str, list_interval: Option<u64>, hosts: Vec<HostStatus>) -> Self {
        let outlier = r#"{"consecutive5xxErrors": 5, "maxEjectionPercent": 100, "baseEjectionTime": "1h", "maxEjectionTime": "1h"}"#;
        let text = format!(r#"{{"outlierDetection": {outlier}, "failover": {failover}}}"#);
        let now = 1_000_000;
        let worker = |late| Worker { counts: Vec::new(), shared_at: now - late };
        Self {
            bytes: Vec::new(),
            open: 0,
            config: parse(text.as_bytes()).expect("configuration").config,
            home: Locality::parse(home),
            now,
            hosts,
            list_interval,
            workers: [worker(0), worker(BEAT_MS / 3)],
            requests: 0,
            random: 7,
            events: Vec::new(),
        }
    }

    pub(super) fn with<R>(&mut self, act: impl FnOnce(&mut ClusterState, &EvaluationContext<'_>) -> R) -> R {
        let mut state = ClusterState::decode(&self.bytes);
        let (outlier, rule) = cluster::settings(&state, &self.config.outlier_detection);
        let context = EvaluationContext {
            cluster: "mockb",
            outlier: &outlier,
            rule: &rule,
            failover: &self.config.failover,
            home: &self.home,
            proxy_home: &self.home,
            now: self.now,
            has_witness: self.list_interval.is_some(),
            sees_successes: true,
        };
        let result = act(&mut state, &context);
        self.bytes = shared(&state);
        self.open = state.open_findings();
        result
    }

    /// The hosts become known: Envoy's list comes in or, without a witness, traffic has shown them all.
    pub(super) fn learn(&mut self) {
        let hosts = self.hosts.clone();
        if self.list_interval.is_none() {
            let counts: Vec<_> = [HOME, NEAR, FAR]
                .map(Locality::parse)
                .into_iter()
                .map(|locality| {
                    let there = hosts.iter().filter(|host| host.locality == locality).count();
                    (locality, u32::try_from(there).unwrap())
                })
                .collect();
            let total = u32::try_from(hosts.len()).ok();
            self.with(|state, context| cluster::set_members(state, total, &counts, &[], context));
            return;
        }
        let events =
            self.with(|state, context| cluster::on_host_list(state, &hosts, &Growth::default(), context.now, context));
        self.events.extend(events);
    }

    /// A number below `below`, by chance.
    pub(super) fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % below
    }

    /// Lets time pass, with `rate` requests a second that `choose` sends to hosts by index.
    pub(super) fn run(&mut self, millis: u64, rate: u64, mut choose: impl FnMut(&mut Self) -> usize) {
        let end = self.now + millis;
        let begun = self.now;
        let mut sent = 0;
        while self.now < end {
            self.now += STEP_MS;
            while sent < (self.now - begun) * rate / 1_000 {
                sent += 1;
                let chosen = choose(self);
                self.request(chosen, DetectorInput::answered(200));
            }
            self.pass();
        }
    }

    fn pass(&mut self) {
        for worker in 0..self.workers.len() {
            let since = self.workers[worker].shared_at;
            if self.now - since >= BEAT_MS {
                let counts = std::mem::take(&mut self.workers[worker].counts);
                self.workers[worker].shared_at = self.now;
                let events = self.with(|state, context| {
                    cluster::add_traffic(state, &counts, since, context);
                    cluster::on_tick(state, context)
                });
                self.events.extend(events);
            }
        }
        if self.now.is_multiple_of(100) && self.open() > 0 {
            let events = self.with(cluster::on_tick);
            self.events.extend(events);
        }
        let wait = self.list_interval.map(|interval| if self.open() > 0 { interval.min(500) } else { interval });
        if wait.is_some_and(|wait| self.now.is_multiple_of(wait)) {
            self.learn();
        }
    }

    /// An attempt. Those that succeed are looked at one by one only while something is open.
    pub(super) fn request(&mut self, host: usize, input: DetectorInput) {
        let (endpoint, locality) = (self.hosts[host].address.clone(), self.hosts[host].locality.clone());
        self.requests += 1;
        let worker = usize::try_from(self.requests % 2).unwrap();
        let errors = u32::from(input.outcome().is_error());
        self.workers[worker].counts.push((locality.clone(), Count { attempts: 1, errors }));
        if errors == 0 && self.open() == 0 {
            return;
        }
        let total = u32::try_from(self.hosts.len()).ok();
        let events = self.with(|state, context| {
            let times = AttemptTimes::at_once(context.now * 1_000);
            let (endpoint, locality, started, last) =
                (endpoint.as_str(), &locality, Some(context.now), LastAttempt::default());
            let seen = AttemptObservation { endpoint, locality, workload: None, input, times, started, last, total };
            cluster::on_attempt(state, &seen, context)
        });
        self.events.extend(events);
    }

    pub(super) fn open(&self) -> u32 {
        self.open
    }

    /// The events about failovers.
    pub(super) fn failovers(&self) -> Vec<&'static str> {
        let names = self.events.iter().map(|event| event.kind.name());
        names.filter(|name| name.starts_with("failover")).collect()
    }

    /// The first start, and when it was.
    pub(super) fn started(&self) -> (&Route, u64) {
        let started = self.events.iter().find_map(|event| match &event.kind {
            EventKind::FailoverStarted(route) => Some((route, event.at)),
            _ => None,
        });
        started.expect("a failover")
    }

    /// The last end, and when it was.
    pub(super) fn ended(&self) -> (&EventKind, u64) {
        let ended = self.events.iter().rfind(|event| matches!(event.kind, EventKind::FailoverEnded { .. }));
        ended.map(|event| (&event.kind, event.at)).expect("an end")
    }
}
