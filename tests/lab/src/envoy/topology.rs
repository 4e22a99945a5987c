//! The localities of endpoints, and the priorities that a control plane would assign for a proxy in a given locality.
//!
//! The order is that of Istio's default locality failover: same subzone, same zone, same region, elsewhere, without the
//! levels that have no endpoint. Not here: weights, `failoverPriority`, `distribute`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::{Value, json};

/// `region/zone/subzone`; trailing parts may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locality {
    /// The region, for example `ap-northeast-1`.
    pub region: String,
    /// The zone within the region.
    pub zone: String,
    /// The part of the zone, such as a rack.
    pub sub_zone: String,
}

impl Locality {
    /// Parses `region/zone/subzone`, with fewer parts if the rest is unknown.
    pub fn new(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Self { region: next(), zone: next(), sub_zone: next() }
    }

    /// How far an endpoint at `other` is from a proxy here: 0 same subzone, 1 same zone, 2 same region, 3 elsewhere.
    pub fn distance(&self, other: &Self) -> u32 {
        if self.region != other.region {
            3
        } else if self.zone != other.zone {
            2
        } else {
            u32::from(self.sub_zone != other.sub_zone)
        }
    }

    /// Envoy's `config.core.v3.Locality`.
    pub fn to_envoy(&self) -> Value {
        json!({ "region": self.region, "zone": self.zone, "sub_zone": self.sub_zone })
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = format!("{}/{}/{}", self.region, self.zone, self.sub_zone);
        f.write_str(full.trim_end_matches('/'))
    }
}

/// One endpoint of a cluster.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its locality.
    pub locality: Locality,
}

/// What the control plane says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdsHealth {
    /// Nothing is wrong with it.
    Healthy,
    /// It gets no requests.
    Unhealthy,
    /// It gets no new requests; it is about to leave.
    Draining,
}

impl EdsHealth {
    /// Envoy's name in `config.core.v3.HealthStatus`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Draining => "DRAINING",
        }
    }
}

/// The `endpoints` of a `ClusterLoadAssignment` for a proxy at `home`: one group for each locality, with priorities by
/// distance from home, numbered without gaps. `health` has the endpoints that are not healthy.
pub fn prioritised(home: &Locality, endpoints: &[Endpoint], health: &BTreeMap<SocketAddr, EdsHealth>) -> Vec<Value> {
    let mut distances: Vec<u32> = endpoints.iter().map(|e| home.distance(&e.locality)).collect();
    distances.sort_unstable();
    distances.dedup();

    let mut localities: Vec<&Locality> = endpoints.iter().map(|e| &e.locality).collect();
    localities.sort_unstable();
    localities.dedup();
    localities.sort_by_key(|l| home.distance(l));

    let group = |locality: &Locality| {
        let hosts: Vec<Value> = endpoints
            .iter()
            .filter(|e| e.locality == *locality)
            .map(|e| {
                let health = health.get(&e.address).map_or("UNKNOWN", |health| health.as_str());
                json!({ "endpoint": { "address": socket_address(e.address) }, "health_status": health })
            })
            .collect();
        let priority = distances.iter().position(|d| *d == home.distance(locality));
        json!({
            "locality": locality.to_envoy(),
            "priority": priority,
            "load_balancing_weight": hosts.len(),
            "lb_endpoints": hosts,
        })
    };
    localities.into_iter().map(group).collect()
}

/// Envoy's `config.core.v3.Address` for a TCP address.
pub fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_compacted_by_distance_from_home() {
        let at = |n: u16, l: &str| Endpoint { address: ([127, 0, 1, 1], n).into(), locality: Locality::new(l) };
        let endpoints = [at(1, "cn/h"), at(2, "ap/b"), at(3, "ap/a"), at(4, "cn/k"), at(5, "ap/a")];
        let groups = prioritised(&Locality::new("ap/a"), &endpoints, &BTreeMap::new());
        let seen: Vec<(String, u64, usize)> = groups
            .iter()
            .map(|g| {
                let zone = g["locality"]["zone"].as_str().unwrap().to_owned();
                (zone, g["priority"].as_u64().unwrap(), g["lb_endpoints"].as_array().unwrap().len())
            })
            .collect();
        let want = [("a", 0, 2), ("b", 1, 1), ("h", 2, 1), ("k", 2, 1)];
        assert_eq!(seen, want.map(|(z, p, n)| (z.to_owned(), p, n)));
    }

    #[test]
    fn a_locality_is_written_without_trailing_empty_parts() {
        for text in ["r/z/s", "r/z", "r"] {
            assert_eq!(Locality::new(text).to_string(), text);
        }
    }
}
