//! Input of a cluster: an attempt as it was observed, and the rules and the time by which it is evaluated.

use crate::config::{Failover, OutlierDetection};
use crate::endpoint::detector::AttemptTimes;
use crate::endpoint::outcome::DetectorInput;
use crate::endpoint::rule::Rule;
use crate::event::LastAttempt;
use crate::locality::Locality;
use crate::time::Millis;

/// The rules and the time by which an observation is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationContext<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The cluster's outlier detection settings.
    pub outlier: &'a OutlierDetection,
    /// How Envoy enforces them.
    pub rule: &'a Rule,
    /// When a shift of traffic is a failover.
    pub failover: &'a Failover,
    /// The proxy's own locality, as far as it tells home from away in this cluster.
    pub home: &'a Locality,
    /// The proxy's own locality.
    pub proxy_home: &'a Locality,
    /// The current time.
    pub now: Millis,
    /// Whether Envoy itself is asked about its endpoints; if so, its answer decides.
    pub has_witness: bool,
    /// Whether successes are seen; if not, Envoy's counts of hosts show them.
    pub sees_successes: bool,
}

/// A finished attempt.
#[derive(Clone, Debug)]
pub struct AttemptObservation<'a> {
    /// The endpoint, `ip:port`.
    pub endpoint: &'a str,
    /// Its locality.
    pub locality: &'a Locality,
    /// Its workload, `name.namespace`.
    pub workload: Option<&'a str>,
    /// What Envoy reported to its outlier detector.
    pub input: DetectorInput,
    /// When the steps of the attempt happened.
    pub times: AttemptTimes,
    /// When the request started, if known.
    pub started: Option<Millis>,
    /// The attempt in detail, for errors.
    pub last: LastAttempt,
    /// Envoy's count of the cluster's endpoints, if known.
    pub total: Option<u32>,
}
