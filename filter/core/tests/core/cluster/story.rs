//! A cluster, observation by observation: the four zones of scenario S1, seen from `ap-northeast-1a`.

use super::world::shared;
use filter_core::cluster::{self, AttemptObservation, ClusterState, EvaluationContext};
use filter_core::config::{Config, parse};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::event::{Event, LastAttempt};
use filter_core::failover::Count;
use filter_core::locality::Locality;

pub(super) const HOME: &str = "ap-northeast-1/ap-northeast-1a";
pub(super) const NEAR: &str = "ap-northeast-1/ap-northeast-1b";
pub(super) const FAR: &str = "cn-hangzhou/cn-hangzhou-h";
pub(super) const REFUSED: DetectorInput = DetectorInput { connected: false, status: None, failure: Some(503) };

/// A cluster, its configuration and the time. Every observation goes through the encoded form, as between workers.
pub(super) struct Story {
    pub bytes: Vec<u8>,
    config: Config,
    home: Locality,
    pub now: u64,
    pub total: Option<u32>,
}

impl Story {
    pub(super) fn new(outlier: &str) -> Self {
        let text = format!(r#"{{"outlierDetection": {outlier}, "failover": {{"window": "2s", "endAfter": "2s"}}}}"#);
        let config = parse(text.as_bytes()).expect("configuration").config;
        let mut state = ClusterState::default();
        // Envoy was asked how the cluster ejects and has no answer: the configured rule counts.
        cluster::on_rule(&mut state, None, 1);
        Self { bytes: state.encode(), config, home: Locality::parse(HOME), now: 1_000_000, total: Some(4) }
    }

    pub(super) fn s1() -> Self {
        Self::new(
            r#"{"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1, "consecutive5xxErrors": 1,
                "interval": "1s", "baseEjectionTime": "5s", "maxEjectionPercent": 100}"#,
        )
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
            has_witness: false,
            sees_successes: true,
        };
        let result = act(&mut state, &context);
        self.bytes = shared(&state);
        result
    }

    /// One attempt, counted as a worker's flush would count it.
    pub(super) fn attempt(&mut self, endpoint: &str, locality: &str, input: DetectorInput) -> Vec<Event> {
        let locality = Locality::parse(locality);
        let (started, total) = (Some(self.now), self.total);
        let errors = u32::from(input.outcome().is_error());
        self.with(|state, context| {
            let last = LastAttempt::default();
            let (workload, times) = (None, AttemptTimes::at_once(context.now * 1_000));
            let seen =
                AttemptObservation { endpoint, locality: &locality, workload, input, times, started, last, total };
            let events = cluster::on_attempt(state, &seen, context);
            cluster::add_traffic(state, &[(locality.clone(), Count { attempts: 1, errors })], context.now, context);
            events
        })
    }

    pub(super) fn ok(&mut self, endpoint: &str, locality: &str) -> Vec<Event> {
        self.attempt(endpoint, locality, DetectorInput::answered(200))
    }

    pub(super) fn pass(&mut self, millis: u64) -> Vec<Event> {
        self.now += millis;
        self.with(cluster::on_tick)
    }

    pub(super) fn open(&mut self) -> u32 {
        self.with(|state, _| state.open_findings())
    }
}

pub(super) fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}
