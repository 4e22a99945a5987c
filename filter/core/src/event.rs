//! The events: one type that makes both the log line and the metric changes, so that the two cannot differ.
//!
//! A line is one JSON object whose first key is `faultline`. [`EventKind::TABLE`] lists the events and their keys for
//! the documents, which `cargo xtask tidy` checks.

use crate::locality::{Locality, Tier};
use crate::metric::{Change, Metric};
use crate::time::{Millis, rfc3339};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// How an event is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Envoy itself said so, through its admin interface.
    Witnessed,
    /// Concluded from traffic by Envoy's own rules.
    Inferred,
}

impl Basis {
    /// The basis as events and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Witnessed => "witnessed",
            Self::Inferred => "inferred",
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
    /// The home locality that lost.
    pub from: Locality,
    /// The locality that receives most.
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
#[allow(missing_docs)] // the fields are the keys of design and documents; TABLE explains them
pub enum EventKind {
    ErrorStreak {
        kind: &'static str,
        streak: u32,
        threshold: u32,
        last: LastAttempt,
    },
    EndpointEjected {
        reason: &'static str,
        ejection: u32,
        ejected_endpoints: u32,
        endpoints: u32,
    },
    EndpointReturned {
        ejected_seconds: f64,
        ejection: u32,
    },
    EjectionBlocked {
        reason: &'static str,
        max_ejection_percent: u32,
        endpoints: u32,
    },
    FailoverStarted(Route),
    /// `left` is the destination that the failover moves on from, and for how many seconds it went there; `None` when more
    /// goes to the same.
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
        because: &'static str,
        /// Seconds since the failover last moved on; not in the line, for the metric.
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
    /// When it happened.
    pub at: Millis,
    /// The cluster; empty for an event of the filter itself.
    pub cluster: String,
    /// The endpoint `ip:port`, where it is about one.
    pub endpoint: Option<String>,
    /// The endpoint's locality, where it is about one.
    pub locality: Option<Locality>,
    /// The endpoint's workload, `name.namespace`, where the mesh tells it.
    pub workload: Option<String>,
    /// How it is known, where that is not plain.
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
        // Serialising to a string fails only for a map with keys that are no strings.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the event changes in the metrics.
    pub fn changes(&self) -> Vec<Change> {
        let cluster = self.cluster.as_str();
        let locality = self.locality.as_ref().map_or("", Locality::as_str);
        let basis = self.basis.map_or("", Basis::as_str);
        match &self.kind {
            EventKind::ErrorStreak { kind, .. } => {
                vec![change(Metric::ErrorStreaks, &[cluster, locality, kind], 1)]
            }
            EventKind::EndpointEjected { reason, .. } => {
                vec![change(Metric::Ejections, &[cluster, locality, reason, basis], 1)]
            }
            EventKind::EjectionBlocked { .. } => {
                vec![change(Metric::EjectionsBlocked, &[cluster], 1)]
            }
            EventKind::FailoverStarted(route) => {
                let labels = [cluster, route.from.as_str(), route.to.as_str()];
                vec![change(Metric::Failovers, &labels, 1)]
            }
            // More goes where it went before.
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

/// Seconds for a counter, which holds whole numbers: rounded, at least 1 so that a short failover is not lost.
fn whole_seconds(seconds: f64) -> i64 {
    (seconds.round() as i64).max(1)
}

/// Three decimals are enough for seconds and shares.
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
        match &self.kind {
            EventKind::ErrorStreak { kind, streak, threshold, last } => {
                map.serialize_entry("kind", kind)?;
                map.serialize_entry("streak", streak)?;
                map.serialize_entry("threshold", threshold)?;
                map.serialize_entry("last", &Shown(last))?;
            }
            EventKind::EndpointEjected { reason, ejection, ejected_endpoints, endpoints } => {
                map.serialize_entry("reason", reason)?;
                map.serialize_entry("ejection", ejection)?;
                map.serialize_entry("ejected_endpoints", ejected_endpoints)?;
                map.serialize_entry("endpoints", endpoints)?;
            }
            EventKind::EndpointReturned { ejected_seconds, ejection } => {
                map.serialize_entry("ejected_seconds", &rounded(*ejected_seconds))?;
                map.serialize_entry("ejection", ejection)?;
            }
            EventKind::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
                map.serialize_entry("reason", reason)?;
                map.serialize_entry("max_ejection_percent", max_ejection_percent)?;
                map.serialize_entry("endpoints", endpoints)?;
            }
            EventKind::FailoverStarted(route) | EventKind::FailoverChanged { route, .. } => {
                map.serialize_entry("from", route.from.as_str())?;
                map.serialize_entry("to", route.to.as_str())?;
                map.serialize_entry("tier", route.tier.as_str())?;
                map.serialize_entry("share", &rounded(route.share))?;
                map.serialize_entry("healthy_at_home", &route.healthy_at_home)?;
                map.serialize_entry("endpoints_at_home", &route.endpoints_at_home)?;
            }
            EventKind::FailoverEnded { from, to, seconds, requests_away, errors_away, because, .. } => {
                map.serialize_entry("from", from.as_str())?;
                map.serialize_entry("to", to.as_str())?;
                map.serialize_entry("seconds", &rounded(*seconds))?;
                map.serialize_entry("requests_away", requests_away)?;
                map.serialize_entry("errors_away", errors_away)?;
                map.serialize_entry("because", because)?;
            }
            EventKind::NoHealthyUpstream { endpoints } => map.serialize_entry("endpoints", endpoints)?,
            EventKind::UpstreamRecovered { seconds } => map.serialize_entry("seconds", &rounded(*seconds))?,
            EventKind::ConfigRejected { error } => map.serialize_entry("error", error)?,
            EventKind::EventsSuppressed { count, seconds } => {
                map.serialize_entry("count", count)?;
                map.serialize_entry("seconds", &rounded(*seconds))?;
            }
        }
        map.end()
    }
}

/// The last attempt as an event shows it; workers hand it on as it is.
struct Shown<'a>(&'a LastAttempt);

impl Serialize for Shown<'_> {
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
