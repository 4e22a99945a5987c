//! An event as it stands in a log; `parse` reads it.

use std::cmp::Reverse;
use std::sync::Arc;

use filter_core::time::Millis;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The key that makes a JSON object an event.
pub(crate) const KEY: &str = "faultline";

/// A text that many events share: names, reasons, what Envoy says of a failure. Equal ones are held once.
pub(crate) type Name = Arc<str>;

/// An event that is kept among many: to sort and to move them, only where they are is moved.
pub(crate) type Kept = Box<Event>;

/// An event of one proxy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// When it happened.
    pub(crate) at: Millis,
    /// The cluster; empty for an event of the filter itself.
    pub(crate) cluster: Name,
    /// `ip:port`; empty where it is about no endpoint.
    pub(crate) endpoint: Name,
    /// `region/zone/subzone`; empty where unknown.
    pub(crate) locality: Name,
    /// `name.namespace`; empty where unknown.
    pub(crate) workload: Name,
    /// `witnessed`, `inferred` or empty.
    pub(crate) basis: Name,
    /// What happened.
    pub(crate) kind: Kind,
    /// The event's name.
    pub(crate) name: Name,
    /// Equal for events that say the same, whatever stands beside it.
    pub(crate) mark: u64,
}

/// What happened, by the event's name; the fields are the keys of the documents.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    ErrorStreak {
        kind: Name,
        streak: u64,
        threshold: u64,
        /// Whether Envoy ejects for it; left out if it does.
        ejects: bool,
        last: Last,
    },
    EndpointEjected {
        reason: Name,
        ejection: u64,
        ejected_endpoints: u64,
        endpoints: u64,
    },
    EndpointReturned {
        ejected_seconds: f64,
    },
    EndpointRemoved {
        ejected_seconds: f64,
    },
    EjectionBlocked {
        reason: Name,
        max_ejection_percent: u64,
        endpoints: u64,
    },
    FailoverStarted(Route),
    FailoverChanged(Route),
    FailoverEnded {
        from: Name,
        to: Name,
        seconds: f64,
        requests_away: u64,
        errors_away: u64,
        /// Empty in logs of older versions.
        destinations: Vec<Received>,
        because: Name,
    },
    NoHealthyUpstream {
        endpoints: u64,
    },
    UpstreamRecovered {
        seconds: f64,
    },
    ConfigRejected {
        error: Name,
    },
    EventsSuppressed {
        count: u64,
        seconds: f64,
    },
    /// What an agent of hot-switch tells.
    HotSwitch(Box<Switch>),
    /// No event, but a line beside them: the filter has begun to watch.
    ProxyStarted,
    /// The proxy ends.
    ProxyStopped,
    /// The filter says that something is wrong around it.
    FilterWarning {
        text: Name,
    },
    /// Of a version that this one does not know.
    Unknown,
}

/// What an agent tells of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Switch {
    /// `namespace/name`.
    pub(crate) pod: Name,
    /// What happened.
    pub(crate) what: Switched,
}

/// What happened to a pod's proxy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Switched {
    /// The proxy fails: `proxy_dead`, `proxy_hung` and the like.
    Suspected { why: Name },
    /// It is well again, before anything was done.
    Recovered { seconds: f64 },
    /// Its traffic goes past it.
    Bypassed { why: Name, detected_seconds: f64, unprotected: Unprotected },
    /// A bypass was found, and is looked after.
    Adopted { unprotected: Unprotected },
    /// Its traffic goes through it again.
    Restored { seconds: f64 },
    /// It fails, and is not bypassed.
    Refused { reason: Name, why: Name },
    /// A bypass lasts longer than it may.
    Overdue { seconds: f64 },
    /// Something could not be done.
    Failed { error: Name },
}

/// Which traffic goes past the proxy, and what does not hold for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Unprotected {
    /// `both`, `inbound`, `outbound`.
    pub(crate) directions: Name,
    /// What is lost meanwhile: `inbound_mtls` and the like.
    pub(crate) lost: Vec<Name>,
}

/// The last failure of a streak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Last {
    /// The status that the client got; 0 where there was none.
    pub(crate) code: u16,
    /// Response flags, `UF,URX`.
    pub(crate) flags: Name,
    /// Envoy's `response.code_details`.
    pub(crate) details: Name,
    /// Envoy's `upstream.transport_failure_reason`.
    pub(crate) transport_failure: Name,
}

/// Where a failover goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Route {
    /// The home locality that lost.
    pub(crate) from: Name,
    /// The locality that receives most.
    pub(crate) to: Name,
    /// How far `to` is.
    pub(crate) tier: Name,
    /// 0 to 1.
    pub(crate) share: f64,
    /// What keeps traffic from home: `ejected`, `unhealthy`, `endpoints_left`; empty in logs of older versions.
    pub(crate) cause: Name,
    /// Healthy endpoints in the home tier.
    pub(crate) healthy_at_home: u64,
    /// Endpoints in the home tier.
    pub(crate) endpoints_at_home: u64,
}

/// What a locality away from home received during a failover.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Received {
    /// The locality.
    pub(crate) to: String,
    /// For how long it served.
    pub(crate) seconds: f64,
    /// Attempts that it served.
    pub(crate) requests: u64,
    /// How many of them failed.
    pub(crate) errors: u64,
}

impl Received {
    /// Adds what another proxy sent: attempts are summed, of the times the longer one counts.
    pub(crate) fn add(all: &mut Vec<Self>, more: &[Self]) {
        for one in more {
            match all.iter_mut().find(|known| known.to == one.to) {
                Some(known) => {
                    known.seconds = known.seconds.max(one.seconds);
                    known.requests = known.requests.saturating_add(one.requests);
                    known.errors = known.errors.saturating_add(one.errors);
                }
                None => all.push(one.clone()),
            }
        }
        all.sort_by_key(|one| Reverse(one.requests));
    }
}

impl Event {
    /// What stands beside the events of a log, as one of them.
    pub(crate) fn beside(at: Millis, name: &str, kind: Kind) -> Self {
        let nothing = Name::default;
        let [cluster, endpoint, locality, workload, basis] = [nothing(), nothing(), nothing(), nothing(), nothing()];
        Self { at, cluster, endpoint, locality, workload, basis, kind, name: name.into(), mark: 0 }
    }

    /// What it is about: equal for the events of two proxies about the same thing.
    pub(crate) fn subject(&self) -> String {
        let (more, also): (&str, &str) = match &self.kind {
            Kind::FailoverStarted(route) | Kind::FailoverChanged(route) => (&route.from, &route.to),
            Kind::FailoverEnded { from, .. } => (from, ""),
            Kind::ErrorStreak { kind, .. } => (kind, ""),
            Kind::EndpointEjected { reason, .. } | Kind::EjectionBlocked { reason, .. } => (reason, ""),
            Kind::ConfigRejected { error } => (error, ""),
            Kind::HotSwitch(switch) => (&switch.pod, ""),
            _ => ("", ""),
        };
        [&*self.name, &*self.cluster, &*self.endpoint, more, also].join("\u{1f}")
    }
}

/// Reads an RFC 3339 time, of the epoch or later; an offset may lack its colon, as the journal writes it.
pub(crate) fn parse_time(text: &str) -> Option<Millis> {
    let when = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
        let (time, offset) = text.split_at_checked(text.len().checked_sub(4)?)?;
        let signed = time.ends_with(['+', '-']) && offset.bytes().all(|byte| byte.is_ascii_digit());
        let with_colon = signed.then(|| format!("{time}{}:{}", &offset[..2], &offset[2..]))?;
        OffsetDateTime::parse(&with_colon, &Rfc3339).ok()
    })?;
    Millis::try_from(when.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A duration in milliseconds, limited to a hundred years, whatever stands in the log.
pub(crate) fn millis(seconds: f64) -> Millis {
    const MOST: f64 = 100.0 * 365.25 * 86_400.0;
    (seconds.clamp(0.0, MOST) * 1000.0).round() as Millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_limited_to_what_can_be_added_to_a_time() {
        assert_eq!([millis(12.712), millis(-1.0), millis(1e300)], [12_712, 0, 3_155_760_000_000]);
    }

    #[test]
    fn a_time_may_have_any_offset() {
        for text in ["2026-11-20T15:43:30.405813Z", "2026-11-20T16:43:30.405+01:00", "2026-11-20T16:43:30.405+0100"] {
            assert_eq!(parse_time(text), Some(1_795_189_410_405), "{text}");
        }
        assert_eq!(parse_time("2026-11-20T15:43:30"), None);
    }
}
