//! What comes in from outside with an attempt: what was seen of it, and by which rules it is judged.

use crate::config::{Failover, OutlierDetection};
use crate::detector::Moments;
use crate::event::LastAttempt;
use crate::locality::Locality;
use crate::outcome::Charges;
use crate::time::Millis;

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
    /// Whether Envoy itself is asked about its endpoints: then its word is waited for.
    pub witness: bool,
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
    /// When it did.
    pub moments: Moments,
    /// When the request was started, where known.
    pub started: Option<Millis>,
    /// The attempt in detail, for errors.
    pub last: LastAttempt,
    /// Envoy's count of the cluster's endpoints, where known.
    pub total: Option<u32>,
}
