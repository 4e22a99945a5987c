//! Events. One type produces both the log line and the metric changes, so that the two cannot differ.
//!
//! A line is one JSON object whose first key is `faultline`. [`EventKind::TABLE`] lists the events and their keys for
//! the documents, which `cargo xtask tidy` checks.

use crate::endpoint::reason::{Basis, BlockedReason, EjectReason};
use crate::endpoint::streak::StreakKind;
use crate::locality::{Locality, Tier};
use crate::metric::{Change, Metric};
use crate::time::{Millis, rfc3339};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// Why a failover ended: key `because` of `failover_ended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverEnd {
    /// All of home is healthy and the traffic is back.
    Recovered,
    /// Home has no endpoints any more, or another tier is now home.
    Topology,
}

impl FailoverEnd {
    /// The reason as events and alerts write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Topology => "topology",
        }
    }
}

/// The last attempt of a streak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// The status that the client got; absent when there was none.
    pub code: Option<u16>,
    /// Response flags by name, `UF,URX`.
    pub flags: String,
    /// Envoy's `response.code_details`.
    pub details: String,
    /// Envoy's `upstream.transport_failure_reason`.
    pub transport_failure: String,
}

/// Where a failover goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The home locality that lost traffic.
    pub from: Locality,
    /// The locality that receives most of it.
    pub to: Locality,
    /// How far `to` is from home.
    pub tier: Tier,
    /// The share of attempts served away from home, 0 to 1.
    pub share: f64,
    /// Healthy endpoints in the home tier.
    pub healthy_at_home: u32,
    /// Endpoints in the home tier.
    pub endpoints_at_home: u32,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "variants and fields are named as the events and keys that the documents explain")]
pub enum EventKind {
    ErrorStreak {
        kind: StreakKind,
        streak: u32,
        threshold: u32,
        last: LastAttempt,
    },
    EndpointEjected {
        reason: EjectReason,
        ejection: u32,
        ejected_endpoints: u32,
        endpoints: u32,
    },
    EndpointReturned {
        ejected_seconds: f64,
        ejection: u32,
    },
    EjectionBlocked {
        reason: BlockedReason,
        max_ejection_percent: u32,
        endpoints: u32,
    },
    FailoverStarted(Route),
    /// `left` is the previous destination, and for how many seconds traffic went there; `None` if more traffic goes to
    /// the same destination.
    FailoverChanged {
        route: Route,
        left: Option<(Locality, f64)>,
    },
    FailoverEnded {
        from: Locality,
        to: Locality,
        seconds: f64,
        requests_away: u64,
        errors_away: u64,
        because: FailoverEnd,
        /// Seconds since the failover last changed its destination; for the metric, not in the log line.
        seconds_at_last: f64,
    },
    NoHealthyUpstream {
        endpoints: u32,
    },
    UpstreamRecovered {
        seconds: f64,
    },
    ConfigRejected {
        error: String,
    },
    EventsSuppressed {
        count: u64,
        seconds: f64,
    },
}

impl EventKind {
    /// Name and further keys of every event, in the order of the documents.
    pub const TABLE: [(&'static str, &'static [&'static str]); 11] = [
        ("error_streak", &["kind", "streak", "threshold", "last"]),
        ("endpoint_ejected", &["reason", "ejection", "ejected_endpoints", "endpoints"]),
        ("endpoint_returned", &["ejected_seconds", "ejection"]),
        ("ejection_blocked", &["reason", "max_ejection_percent", "endpoints"]),
        ("failover_started", &["from", "to", "tier", "share", "healthy_at_home", "endpoints_at_home"]),
        ("failover_changed", &["from", "to", "tier", "share", "healthy_at_home", "endpoints_at_home"]),
        ("failover_ended", &["from", "to", "seconds", "requests_away", "errors_away", "because"]),
        ("no_healthy_upstream", &["endpoints"]),
        ("upstream_recovered", &["seconds"]),
        ("config_rejected", &["error"]),
        ("events_suppressed", &["count", "seconds"]),
    ];

    /// The event's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ErrorStreak { .. } => "error_streak",
            Self::EndpointEjected { .. } => "endpoint_ejected",
            Self::EndpointReturned { .. } => "endpoint_returned",
            Self::EjectionBlocked { .. } => "ejection_blocked",
            Self::FailoverStarted(_) => "failover_started",
            Self::FailoverChanged { .. } => "failover_changed",
            Self::FailoverEnded { .. } => "failover_ended",
            Self::NoHealthyUpstream { .. } => "no_healthy_upstream",
            Self::UpstreamRecovered { .. } => "upstream_recovered",
            Self::ConfigRejected { .. } => "config_rejected",
            Self::EventsSuppressed { .. } => "events_suppressed",
        }
    }
}

/// An event of one cluster, or of the filter itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When the event happened.
    pub at: Millis,
    /// The cluster; empty for an event of the filter itself.
    pub cluster: String,
    /// The endpoint `ip:port`, if the event is about one.
    pub endpoint: Option<String>,
    /// The endpoint's locality, if the event is about one.
    pub locality: Option<Locality>,
    /// The endpoint's workload, `name.namespace`, if the mesh provides it.
    pub workload: Option<String>,
    /// How the event is known, if that is not obvious.
    pub basis: Option<Basis>,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// An event of a cluster as a whole.
    pub fn of_cluster(at: Millis, cluster: &str, kind: EventKind) -> Self {
        Self { at, cluster: cluster.to_owned(), endpoint: None, locality: None, workload: None, basis: None, kind }
    }

    /// The log line.
    pub fn to_json(&self) -> String {
        // Serialising to a string fails only for a map with keys that are not strings.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The changes that the event makes to the metrics.
    pub fn changes(&self) -> Vec<Change> {
        let cluster = self.cluster.as_str();
        let locality = self.locality.as_ref().map_or("", Locality::as_str);
        let basis = self.basis.map_or("", Basis::as_str);
        match &self.kind {
            EventKind::ErrorStreak { kind, .. } => {
                vec![change(Metric::ErrorStreaks, &[cluster, locality, kind.as_str()], 1)]
            }
            EventKind::EndpointEjected { reason, .. } => {
                vec![change(Metric::Ejections, &[cluster, locality, reason.as_str(), basis], 1)]
            }
            EventKind::EjectionBlocked { .. } => {
                vec![change(Metric::EjectionsBlocked, &[cluster], 1)]
            }
            EventKind::FailoverStarted(route) => {
                let labels = [cluster, route.from.as_str(), route.to.as_str()];
                vec![change(Metric::Failovers, &labels, 1)]
            }
            // More traffic goes to the same destination.
            EventKind::FailoverChanged { left: None, .. } => Vec::new(),
            EventKind::FailoverChanged { route, left: Some((to, seconds)) } => {
                let before = [cluster, route.from.as_str(), to.as_str()];
                let after = [cluster, route.from.as_str(), route.to.as_str()];
                vec![
                    change(Metric::FailoverSeconds, &before, whole_seconds(*seconds)),
                    change(Metric::Failovers, &after, 1),
                ]
            }
            EventKind::FailoverEnded { from, to, seconds_at_last, .. } => {
                let labels = [cluster, from.as_str(), to.as_str()];
                vec![change(Metric::FailoverSeconds, &labels, whole_seconds(*seconds_at_last))]
            }
            EventKind::NoHealthyUpstream { .. } => {
                vec![change(Metric::NoHealthyUpstream, &[cluster], 1)]
            }
            EventKind::EndpointReturned { .. } | EventKind::UpstreamRecovered { .. } => Vec::new(),
            EventKind::ConfigRejected { .. } => vec![change(Metric::ConfigRejected, &[], 1)],
            EventKind::EventsSuppressed { count, .. } => {
                vec![change(Metric::EventsSuppressed, &[], i64::try_from(*count).unwrap_or(i64::MAX))]
            }
        }
    }
}

fn change(metric: Metric, values: &[&str], by: i64) -> Change {
    Change { metric, values: values.iter().map(|value| (*value).to_owned()).collect(), by }
}

/// Seconds for a counter, which holds whole numbers: rounded, but at least 1 so that a short failover is not lost.
fn whole_seconds(seconds: f64) -> i64 {
    (seconds.round() as i64).max(1)
}

/// Rounds to three decimals, which are enough for seconds and shares.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("faultline", self.kind.name())?;
        map.serialize_entry("v", &1)?;
        map.serialize_entry("ts", &rfc3339(self.at))?;
        if !self.cluster.is_empty() {
            map.serialize_entry("cluster", &self.cluster)?;
        }
        if let Some(endpoint) = &self.endpoint {
            map.serialize_entry("endpoint", endpoint)?;
        }
        if let Some(locality) = &self.locality {
            map.serialize_entry("locality", locality.as_str())?;
        }
        if let Some(workload) = &self.workload {
            map.serialize_entry("workload", workload)?;
        }
        if let Some(basis) = self.basis {
            map.serialize_entry("basis", basis.as_str())?;
        }
        self.kind.serialize_keys(&mut map)?;
        map.end()
    }
}

impl EventKind {
    /// Writes the keys that only this kind of event has, as [`EventKind::TABLE`] lists them.
    fn serialize_keys<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::ErrorStreak { kind, streak, threshold, last } => {
                map.serialize_entry("kind", kind.as_str())?;
                map.serialize_entry("streak", streak)?;
                map.serialize_entry("threshold", threshold)?;
                map.serialize_entry("last", &LastInEvent(last))
            }
            Self::EndpointEjected { reason, ejection, ejected_endpoints, endpoints } => {
                map.serialize_entry("reason", reason.as_str())?;
                map.serialize_entry("ejection", ejection)?;
                map.serialize_entry("ejected_endpoints", ejected_endpoints)?;
                map.serialize_entry("endpoints", endpoints)
            }
            Self::EndpointReturned { ejected_seconds, ejection } => {
                map.serialize_entry("ejected_seconds", &rounded(*ejected_seconds))?;
                map.serialize_entry("ejection", ejection)
            }
            Self::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
                map.serialize_entry("reason", reason.as_str())?;
                map.serialize_entry("max_ejection_percent", max_ejection_percent)?;
                map.serialize_entry("endpoints", endpoints)
            }
            Self::FailoverStarted(route) | Self::FailoverChanged { route, .. } => route.serialize_keys(map),
            Self::FailoverEnded { from, to, seconds, requests_away, errors_away, because, .. } => {
                map.serialize_entry("from", from.as_str())?;
                map.serialize_entry("to", to.as_str())?;
                map.serialize_entry("seconds", &rounded(*seconds))?;
                map.serialize_entry("requests_away", requests_away)?;
                map.serialize_entry("errors_away", errors_away)?;
                map.serialize_entry("because", because.as_str())
            }
            Self::NoHealthyUpstream { endpoints } => map.serialize_entry("endpoints", endpoints),
            Self::UpstreamRecovered { seconds } => map.serialize_entry("seconds", &rounded(*seconds)),
            Self::ConfigRejected { error } => map.serialize_entry("error", error),
            Self::EventsSuppressed { count, seconds } => {
                map.serialize_entry("count", count)?;
                map.serialize_entry("seconds", &rounded(*seconds))
            }
        }
    }
}

impl Route {
    fn serialize_keys<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("from", self.from.as_str())?;
        map.serialize_entry("to", self.to.as_str())?;
        map.serialize_entry("tier", self.tier.as_str())?;
        map.serialize_entry("share", &rounded(self.share))?;
        map.serialize_entry("healthy_at_home", &self.healthy_at_home)?;
        map.serialize_entry("endpoints_at_home", &self.endpoints_at_home)
    }
}

/// The last attempt in an event's form; between workers it is encoded with all its fields.
struct LastInEvent<'a>(&'a LastAttempt);

impl Serialize for LastInEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let Self(last) = self;
        if let Some(code) = last.code {
            map.serialize_entry("code", &code)?;
        }
        map.serialize_entry("flags", &last.flags)?;
        map.serialize_entry("details", &last.details)?;
        if !last.transport_failure.is_empty() {
            map.serialize_entry("transport_failure", &last.transport_failure)?;
        }
        map.end()
    }
}
