//! A cluster's story, observation by observation: scenario S1's four zones, seen from `ap-northeast-1a`.

use filter_core::cluster::{ClusterState, Observed, Setting};
use filter_core::config::{Config, parse};
use filter_core::detector::Moments;
use filter_core::event::{Event, LastAttempt};
use filter_core::locality::Locality;
use filter_core::outcome::Charges;
use filter_core::window::Count;

pub const HOME: &str = "ap-northeast-1/ap-northeast-1a";
pub const NEAR: &str = "ap-northeast-1/ap-northeast-1b";
pub const FAR: &str = "cn-hangzhou/cn-hangzhou-h";
pub const REFUSED: Charges = Charges { connected: false, status: None, failure: Some(503) };

/// A cluster, its configuration and the time; every observation goes through the encoded form, as between workers.
pub struct Story {
    pub bytes: Vec<u8>,
    config: Config,
    home: Locality,
    pub now: u64,
    pub total: Option<u32>,
}

impl Story {
    pub fn new(outlier: &str) -> Self {
        let text = format!(r#"{{"outlierDetection": {outlier}, "failover": {{"window": "2s", "endAfter": "2s"}}}}"#);
        let config = parse(text.as_bytes()).expect("configuration").config;
        Self { bytes: Vec::new(), config, home: Locality::parse(HOME), now: 1_000_000, total: Some(4) }
    }

    pub fn s1() -> Self {
        Self::new(
            r#"{"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1, "consecutive5xxErrors": 1,
                "interval": "1s", "baseEjectionTime": "5s", "maxEjectionPercent": 100}"#,
        )
    }

    pub fn with<R>(&mut self, act: impl FnOnce(&mut ClusterState, &Setting<'_>) -> R) -> R {
        let mut state = ClusterState::decode(&self.bytes);
        let setting = Setting {
            cluster: "mockb",
            outlier: &self.config.outlier_detection,
            failover: &self.config.failover,
            home: &self.home,
            now: self.now,
            witness: false,
        };
        let result = act(&mut state, &setting);
        self.bytes = state.encode();
        result
    }

    /// One attempt, counted as a worker's flush would count it.
    pub fn attempt(&mut self, endpoint: &str, locality: &str, charges: Charges) -> Vec<Event> {
        let locality = Locality::parse(locality);
        let (started, total) = (Some(self.now), self.total);
        let errors = u32::from(charges.outcome().is_error());
        self.with(|state, setting| {
            let last = LastAttempt::default();
            let (workload, moments) = (None, Moments::at_once(setting.now * 1_000));
            let seen = Observed { endpoint, locality: &locality, workload, charges, moments, started, last, total };
            let events = state.attempt(&seen, setting);
            state.add_traffic(&[(locality.clone(), Count { attempts: 1, errors })], setting);
            events
        })
    }

    pub fn ok(&mut self, endpoint: &str, locality: &str) -> Vec<Event> {
        self.attempt(endpoint, locality, Charges::answered(200))
    }

    pub fn pass(&mut self, millis: u64) -> Vec<Event> {
        self.now += millis;
        self.with(ClusterState::tick)
    }

    pub fn open(&mut self) -> u32 {
        self.with(|state, _| state.open_findings())
    }
}

pub fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}
