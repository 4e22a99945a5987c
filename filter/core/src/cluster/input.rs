//! What is said of a cluster from outside: an attempt as it was observed, and the rules and the time it is evaluated
//! by.

use crate::config::{Failover, OutlierDetection};
use crate::endpoint::detector::AttemptTimes;
use crate::endpoint::outcome::DetectorInput;
use crate::event::LastAttempt;
use crate::locality::Locality;
use crate::time::Millis;

/// The rules and the time that an observation is evaluated by.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationContext<'a> {
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
    /// Whether Envoy itself is asked about its endpoints: then its answer decides.
    pub has_witness: bool,
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
    /// What Envoy told its detector.
    pub input: DetectorInput,
    /// When the steps of it happened.
    pub times: AttemptTimes,
    /// When the request started, where known.
    pub started: Option<Millis>,
    /// The attempt in detail, for errors.
    pub last: LastAttempt,
    /// Envoy's count of the cluster's endpoints, where known.
    pub total: Option<u32>,
}
