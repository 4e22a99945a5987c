//! One service in four zones of two regions, with a single endpoint in each, seen from a caller in the first zone: the
//! smallest topology with every step of a locality failover.

use anyhow::{Context, Result};
use serde_json::json;

use crate::endpoints::{Behaviour, Upstream};
use crate::envoy::bootstrap::Cluster;
use crate::envoy::outlier::OutlierDetection;
use crate::envoy::topology::{Endpoint, Locality};

/// The cluster's name that Istio gives to the caller's proxy.
pub const CLUSTER: &str = "outbound|8000||mockb.default.svc.cluster.local";

/// The authority of requests to the service.
pub const HOST: &str = "mockb.default.svc.cluster.local";

/// The caller's zone, the other zone of its region, and the two zones of the other region.
pub const ZONES: [&str; 4] = [
    "ap-northeast-1/ap-northeast-1a",
    "ap-northeast-1/ap-northeast-1b",
    "cn-hangzhou/cn-hangzhou-h",
    "cn-hangzhou/cn-hangzhou-k",
];

/// The service's endpoints, in the order of [`ZONES`]; each answers with its locality.
#[derive(Debug)]
pub struct Zones(pub Vec<Upstream>);

impl Zones {
    /// Starts all four, healthy.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start() -> Result<Self> {
        Self::start_at(&ZONES)
    }

    /// Starts an endpoint in each of these localities, which may repeat, all healthy.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start_at(localities: &[&str]) -> Result<Self> {
        Ok(Self(localities.iter().map(|locality| Upstream::start(locality)).collect::<Result<_>>()?))
    }

    /// The caller's locality.
    pub fn home() -> Locality {
        Locality::new(ZONES[0])
    }

    /// The endpoint of this locality.
    ///
    /// # Errors
    /// If it is not one of [`ZONES`].
    pub fn at(&self, locality: &str) -> Result<&Upstream> {
        let found = self.0.iter().find(|u| u.name() == locality);
        found.with_context(|| format!("no endpoint in {locality}"))
    }

    /// Sets the behaviour of all endpoints in these localities.
    ///
    /// # Errors
    /// Like [`Upstream::set`].
    pub fn set(&self, localities: &[&str], behaviour: Behaviour) -> Result<()> {
        self.0.iter().filter(|u| localities.contains(&u.name())).try_for_each(|u| u.set(behaviour))
    }

    /// The endpoints, for a cluster.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |u: &Upstream| Endpoint { address: u.address(), locality: Locality::new(u.name()) };
        self.0.iter().map(endpoint).collect()
    }

    /// The cluster of these endpoints.
    pub fn cluster(&self, outlier_detection: OutlierDetection) -> Cluster {
        Cluster::new(CLUSTER, self.endpoints(), Some(outlier_detection))
    }
}

/// A plugin configuration that mirrors the cluster's outlier detection and ends a failover after a second or two, so
/// that a test can wait for its end.
pub fn plugin_config(outlier_detection: &OutlierDetection) -> String {
    let failover = json!({ "window": "2s", "minRequests": 5, "endAfter": "1s" });
    json!({ "outlierDetection": outlier_detection.to_istio(), "failover": failover }).to_string()
}
