//! Events. One type produces both the log line and the metric changes, so that the two cannot differ.
//!
//! A line is one JSON object whose first key is `faultline`. [`EventKind::TABLE`] lists the events and their keys for
//! the documents, which `cargo xtask tidy` checks.

mod json;

use crate::encoded;
use crate::endpoint::reason::{Basis, BlockedReason, EjectReason};
use crate::endpoint::streak::StreakKind;
use crate::locality::{Locality, Tier};
use crate::metric::{Change, Metric};
use crate::time::Millis;

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

/// What keeps traffic from home: key `cause` of `failover_started` and `failover_changed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverCause {
    /// Envoy ejects endpoints at home.
    Ejected,
    /// Envoy's health checks or the control plane take endpoints at home out of rotation.
    Unhealthy,
    /// Home has no endpoints: they left the cluster, as pods do that are not ready.
    EndpointsLeft,
}

impl FailoverCause {
    /// The cause as events write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
            Self::EndpointsLeft => "endpoints_left",
        }
    }
}

/// What a locality away from home received during a failover: an entry of `destinations` of `failover_ended`.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// The locality.
    pub to: Locality,
    /// For how many seconds it served.
    pub seconds: f64,
    /// Attempts that it served.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// The last attempt of a streak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

encoded!(struct LastAttempt { code, flags, details, transport_failure });

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
    /// What keeps traffic from home.
    pub cause: FailoverCause,
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
        /// Whether Envoy ejects at this threshold; the key is left out if it does.
        ejects: bool,
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
    /// An ejected endpoint left the cluster, or a new host took its address.
    EndpointRemoved {
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
        /// Where traffic went, most requests first.
        destinations: Vec<Destination>,
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
    pub const TABLE: [(&'static str, &'static [&'static str]); 12] = [
        ("error_streak", &["kind", "streak", "threshold", "ejects", "last"]),
        ("endpoint_ejected", &["reason", "ejection", "ejected_endpoints", "endpoints"]),
        ("endpoint_returned", &["ejected_seconds", "ejection"]),
        ("endpoint_removed", &["ejected_seconds", "ejection"]),
        ("ejection_blocked", &["reason", "max_ejection_percent", "endpoints"]),
        ("failover_started", &["from", "to", "tier", "share", "cause", "healthy_at_home", "endpoints_at_home"]),
        ("failover_changed", &["from", "to", "tier", "share", "cause", "healthy_at_home", "endpoints_at_home"]),
        ("failover_ended", &["from", "to", "seconds", "requests_away", "errors_away", "destinations", "because"]),
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
            Self::EndpointRemoved { .. } => "endpoint_removed",
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

    /// Whether this is the streak of an ejection in the same millisecond, one of the events that are `next`.
    pub fn is_streak_of_ejection(&self, next: &[Self]) -> bool {
        let is_ejection = |next: &Self| {
            let is_same = next.at == self.at && next.endpoint == self.endpoint && next.cluster == self.cluster;
            matches!(next.kind, EventKind::EndpointEjected { .. }) && is_same
        };
        matches!(self.kind, EventKind::ErrorStreak { .. }) && next.iter().any(is_ejection)
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
            EventKind::EndpointReturned { .. }
            | EventKind::EndpointRemoved { .. }
            | EventKind::UpstreamRecovered { .. } => Vec::new(),
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
