//! A round's set-up and its script of outages, both from a seed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::mode::Mode;
use crate::endpoints::{Behaviour, Upstream};
use crate::envoy::bootstrap::Retries;
use crate::envoy::outlier::OutlierDetection;
use crate::envoy::topology::{Endpoint, Locality};
use crate::zones::{CLUSTER, ZONES};

/// Everything random about a round, decided before it begins.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The seed that everything is derived from.
    pub seed: u64,
    /// Where the filter runs in Envoy.
    pub mode: Mode,
    /// The Envoy; if absent, the one that set-up installed for the tests.
    pub envoy: Option<PathBuf>,
    /// Its worker threads, 1 to 4.
    pub workers: u32,
    /// For each endpoint, the index of its zone in [`ZONES`]; there are 3 to 20, and the first is at home.
    pub endpoints: Vec<usize>,
    /// The cluster's outlier detection.
    pub rules: OutlierDetection,
    /// The route's retries; `None` in [`Mode::Http`].
    pub retries: Option<Retries>,
    /// How long a request may take.
    pub route_timeout: Duration,
    /// The number of connections that send requests, independently of each other.
    pub connections: usize,
    /// A connection's pause between two requests.
    pub pause: Duration,
    /// The share of clients that leave before the answer, in percent.
    pub leaving: u32,
    /// The outages, in order; after them, everything is repaired.
    pub script: Vec<Step>,
}

/// Some endpoints change their behaviour for a while.
#[derive(Clone, Debug)]
pub struct Step {
    /// Their indices.
    pub endpoints: Vec<usize>,
    /// Their new behaviour.
    pub behaviour: Behaviour,
    /// How long it lasts until the next step.
    pub lasts: Duration,
}

/// Every way to fail, and 404, which the detector does not count as a failure.
const FAILURES: [Behaviour; 13] = [
    Behaviour::Refuse,
    Behaviour::Refuse,
    Behaviour::ResetOnConnect,
    Behaviour::ResetOnRequest,
    Behaviour::CloseBeforeHeaders,
    Behaviour::Hang,
    Behaviour::ResetAfterHeaders,
    Behaviour::HoldBody,
    Behaviour::Answer(500),
    Behaviour::Answer(502),
    Behaviour::Answer(503),
    Behaviour::Answer(503),
    Behaviour::Answer(404),
];

impl Scene {
    /// The scene for this seed.
    pub fn from_seed(seed: u64, mode: Mode, envoy: Option<PathBuf>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = if rng.bool() { rng.usize(3..=6) } else { rng.usize(7..=20) };
        let zone = |i: usize, rng: &mut Rng| if i == 0 || rng.bool() { 0 } else { rng.usize(1..ZONES.len()) };
        let endpoints: Vec<usize> = (0..count).map(|i| zone(i, &mut rng)).collect();
        let mut rules = rules(&mut rng);
        if !mode.has_witness() {
            // Envoy may take a second (its `update_merge_window`) to keep traffic away from an ejected endpoint. An
            // ejection that is over sooner leaves no trace in traffic, so nothing that sees only traffic can report it
            // correctly.
            rules.base_ejection_time += Duration::from_millis(1_100);
        }
        if !mode.has_witness() {
            // Under a cap, the endpoint that is ejected next depends on the millisecond at which another returned,
            // which traffic does not show either.
            rules.max_ejection_percent = 100;
        }
        let workers = rng.u32(1..=4);
        let route_timeout = Duration::from_millis(rng.u64(80..=300));
        let connections = rng.usize(2..=8);
        let pause = Duration::from_micros(rng.u64(1_000..=8_000));
        let leaving = [0, 0, 2, 10][rng.usize(0..4)];
        let script = script(&endpoints, &mut rng);
        // Drawn last, so that a seed gives the same outages in every mode.
        let retries = (mode != Mode::Http).then(|| retries(&mut rng, route_timeout));
        Self {
            seed,
            mode,
            envoy,
            workers,
            endpoints,
            rules,
            retries,
            route_timeout,
            connections,
            pause,
            leaving,
            script,
        }
    }

    /// The command that runs this round again.
    pub fn again(&self) -> String {
        let envoy = self.envoy.as_ref().map(|path| format!(" --envoy {}", path.display())).unwrap_or_default();
        format!("judge --seed {} --rounds 1 --mode {}{envoy}", self.seed, self.mode.as_str())
    }

    /// The plugin's configuration: the cluster's own rules, quick failovers, and no limit on lines that could hide an
    /// event.
    pub fn plugin_config(&self) -> String {
        let mut config = json!({
            "outlierDetection": self.rules.to_istio(),
            "failover": { "window": "2s", "minRequests": 5, "endAfter": "1s" },
            "limits": { "eventsPerSecond": 10_000 },
        });
        if self.mode.sees_attempts() {
            config["attempts"] = json!("upstreamLog");
        }
        if self.mode.has_witness() {
            config["witness"] = json!({ "cluster": "prometheus_stats" });
        }
        config.to_string()
    }

    /// The cluster of these endpoints, which were started for [`Scene::endpoints`].
    pub fn cluster(&self, upstreams: &[Upstream]) -> crate::envoy::bootstrap::Cluster {
        let zones = self.endpoints.iter().map(|zone| Locality::new(ZONES[*zone]));
        let endpoints = upstreams.iter().zip(zones).map(|(u, locality)| Endpoint { address: u.address(), locality });
        crate::envoy::bootstrap::Cluster::new(CLUSTER, endpoints.collect(), Some(self.rules.clone()))
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zones: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        writeln!(f, "  again:      {}", self.again())?;
        writeln!(f, "  workers:    {}; endpoints in zones {}", self.workers, zones.join(" "))?;
        writeln!(f, "  rules:      {}", self.rules.to_istio())?;
        let (connections, pause) = (self.connections, self.pause.as_secs_f64() * 1e3);
        writeln!(f, "  traffic:    {connections} connections, {pause:.1} ms pause, {} % leave early", self.leaving)?;
        writeln!(f, "  timeout:    {} ms; retries: {:?}", self.route_timeout.as_millis(), self.retries)?;
        for step in &self.script {
            writeln!(f, "  step:       {:?} {:?}, {} ms", step.endpoints, step.behaviour, step.lasts.as_millis())?;
        }
        Ok(())
    }
}

fn rules(rng: &mut Rng) -> OutlierDetection {
    let split = rng.bool();
    let consecutive_5xx_errors = rng.u32(0..=5);
    // Without any threshold there would be nothing to judge.
    let least = u32::from(consecutive_5xx_errors == 0);
    let consecutive_gateway_errors = if least == 1 || rng.bool() { rng.u32(least..=5) } else { 0 };
    OutlierDetection {
        consecutive_5xx_errors,
        consecutive_gateway_errors,
        split_external_local_origin_errors: split,
        consecutive_local_origin_failures: rng.u32(1..=5),
        interval: Duration::from_millis(500),
        base_ejection_time: Duration::from_millis(rng.u64(500..=1_300)),
        max_ejection_percent: if rng.u32(0..10) < 7 { 100 } else { [10, 30, 50, 67][rng.usize(0..4)] },
    }
}

fn retries(rng: &mut Rng, route_timeout: Duration) -> Retries {
    let mut retries = Retries::istio_default();
    if rng.u32(0..3) == 0 {
        retries.retry_on.push_str(",5xx,reset");
    }
    if rng.u32(0..3) == 0 {
        retries.per_try_timeout = Some(route_timeout / 3);
    }
    retries
}

fn script(endpoints: &[usize], rng: &mut Rng) -> Vec<Step> {
    let all: Vec<usize> = (0..endpoints.len()).collect();
    let home: Vec<usize> = all.iter().copied().filter(|i| endpoints[*i] == 0).collect();
    let mut failing: Vec<usize> = Vec::new();
    let mut script = Vec::new();
    let mut left = Duration::from_millis(rng.u64(1_500..=3_500));
    while !left.is_zero() {
        let repair = !failing.is_empty() && rng.u32(0..3) == 0;
        let endpoints = match rng.u32(0..10) {
            _ if repair => std::mem::take(&mut failing),
            0..=4 => vec![home[rng.usize(0..home.len())]],
            5..=6 => some_of(&all, rng),
            7..=8 => some_of(&home, rng),
            _ => all.clone(),
        };
        let behaviour = if repair { Behaviour::Answer(200) } else { FAILURES[rng.usize(0..FAILURES.len())] };
        if !repair {
            failing.extend(endpoints.iter().filter(|i| !failing.contains(i)).copied().collect::<Vec<_>>());
        }
        // Bursts that end within a streak are as instructive as outages.
        let lasts = Duration::from_millis(if rng.bool() { rng.u64(5..=60) } else { rng.u64(60..=900) });
        left = left.saturating_sub(lasts);
        script.push(Step { endpoints, behaviour, lasts });
    }
    script
}

fn some_of(all: &[usize], rng: &mut Rng) -> Vec<usize> {
    let mut some = all.to_vec();
    rng.shuffle(&mut some);
    some.truncate(rng.usize(1..=all.len()));
    some
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_outages_in_every_mode() {
        for seed in 0..200 {
            let [http, again, both] =
                [Mode::Http, Mode::Http, Mode::Both].map(|mode| Scene::from_seed(seed, mode, None));
            assert_eq!(format!("{http:?}"), format!("{again:?}"));
            assert_eq!(format!("{:?}", http.script), format!("{:?}", both.script));
            assert!((3..=20).contains(&http.endpoints.len()) && http.endpoints[0] == 0, "{http:?}");
            assert!(http.script.iter().flat_map(|s| &s.endpoints).all(|i| *i < http.endpoints.len()), "{http:?}");
        }
    }
}
