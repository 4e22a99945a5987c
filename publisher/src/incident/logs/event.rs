//! An event as it stands in a log: what the filter writes, read leniently.
//!
//! The filter's own type (`filter_core::event`) only writes. Here a missing key is a default, an unknown key is ignored
//! and an unknown name is kept as such, so that a log of another version is still worth reading.

use std::cmp::Reverse;

use filter_core::time::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The key that makes a JSON object an event.
pub(crate) const KEY: &str = "faultline";

/// An event of one proxy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// When it happened.
    pub(crate) at: Millis,
    /// The cluster; empty for an event of the filter itself.
    pub(crate) cluster: String,
    /// `ip:port`; empty where it is about no endpoint.
    pub(crate) endpoint: String,
    /// `region/zone/subzone`; empty where unknown.
    pub(crate) locality: String,
    /// `name.namespace`; empty where unknown.
    pub(crate) workload: String,
    /// `witnessed`, `inferred` or empty.
    pub(crate) basis: String,
    /// What happened.
    pub(crate) kind: Kind,
    /// The event's name.
    pub(crate) name: String,
    /// All of it, as it was read.
    pub(crate) json: Value,
}

/// What happened, by the event's name; the fields are the keys of the documents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "faultline", rename_all = "snake_case")]
pub(crate) enum Kind {
    ErrorStreak {
        #[serde(default)]
        kind: String,
        #[serde(default)]
        streak: u64,
        #[serde(default)]
        threshold: u64,
        /// Whether Envoy ejects for it; left out if it does.
        #[serde(default = "yes")]
        ejects: bool,
        #[serde(default)]
        last: Last,
    },
    EndpointEjected {
        #[serde(default)]
        reason: String,
        #[serde(default)]
        ejection: u64,
        #[serde(default)]
        ejected_endpoints: u64,
        #[serde(default)]
        endpoints: u64,
    },
    EndpointReturned {
        #[serde(default)]
        ejected_seconds: f64,
    },
    EndpointRemoved {
        #[serde(default)]
        ejected_seconds: f64,
    },
    EjectionBlocked {
        #[serde(default)]
        reason: String,
        #[serde(default)]
        max_ejection_percent: u64,
        #[serde(default)]
        endpoints: u64,
    },
    FailoverStarted(Route),
    FailoverChanged(Route),
    FailoverEnded {
        #[serde(default)]
        from: String,
        #[serde(default)]
        to: String,
        #[serde(default)]
        seconds: f64,
        #[serde(default)]
        requests_away: u64,
        #[serde(default)]
        errors_away: u64,
        /// Empty in logs of older versions.
        #[serde(default)]
        destinations: Vec<Received>,
        #[serde(default)]
        because: String,
    },
    NoHealthyUpstream {
        #[serde(default)]
        endpoints: u64,
    },
    UpstreamRecovered {
        #[serde(default)]
        seconds: f64,
    },
    ConfigRejected {
        #[serde(default)]
        error: String,
    },
    EventsSuppressed {
        #[serde(default)]
        count: u64,
        #[serde(default)]
        seconds: f64,
    },
    /// Of a version that this one does not know.
    #[serde(other)]
    Unknown,
}

/// The last failure of a streak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Last {
    /// The status that the client got; 0 where there was none.
    pub(crate) code: u16,
    /// Response flags, `UF,URX`.
    pub(crate) flags: String,
    /// Envoy's `response.code_details`.
    pub(crate) details: String,
    /// Envoy's `upstream.transport_failure_reason`.
    pub(crate) transport_failure: String,
}

/// Where a failover goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Route {
    /// The home locality that lost.
    pub(crate) from: String,
    /// The locality that receives most.
    pub(crate) to: String,
    /// How far `to` is.
    pub(crate) tier: String,
    /// 0 to 1.
    pub(crate) share: f64,
    /// What keeps traffic from home: `ejected`, `unhealthy`, `endpoints_left`; empty in logs of older versions.
    pub(crate) cause: String,
    /// Healthy endpoints in the home tier.
    pub(crate) healthy_at_home: u64,
    /// Endpoints in the home tier.
    pub(crate) endpoints_at_home: u64,
}

/// What a locality away from home received during a failover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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

/// The default of a key that is left out where it is true.
fn yes() -> bool {
    true
}

impl Event {
    /// Reads an object that has the key [`KEY`]. `None` if it lacks a time or has values of another type than the
    /// filter writes.
    pub(crate) fn read(json: &Value) -> Option<Self> {
        let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            at: parse_time(json.get("ts")?.as_str()?)?,
            cluster: text("cluster"),
            endpoint: text("endpoint"),
            locality: text("locality"),
            workload: text("workload"),
            basis: text("basis"),
            kind: Kind::deserialize(json).ok()?,
            name: text(KEY),
            json: json.clone(),
        })
    }
}

/// Reads an RFC 3339 time, of the epoch or later.
pub(crate) fn parse_time(text: &str) -> Option<Millis> {
    let when = OffsetDateTime::parse(text, &Rfc3339).ok()?;
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
    use filter_core::event::EventKind;

    #[test]
    fn every_event_of_the_filter_is_known_and_a_stranger_is_called_one() {
        let read = |name: &str| {
            Event::read(&serde_json::json!({KEY: name, "v": 1, "ts": "2026-11-20T15:43:09.567Z", "new": {}})).unwrap()
        };
        for (name, _) in EventKind::TABLE {
            assert_ne!(read(name).kind, Kind::Unknown, "{name}");
        }
        assert_eq!(read("moon_eclipsed").kind, Kind::Unknown);
        assert_eq!(read("moon_eclipsed").at, 1_795_189_389_567);
    }

    #[test]
    fn a_duration_is_limited_to_what_can_be_added_to_a_time() {
        assert_eq!([millis(12.712), millis(-1.0), millis(1e300)], [12_712, 0, 3_155_760_000_000]);
    }

    #[test]
    fn what_has_no_time_or_wrong_types_is_no_event() {
        for text in [
            r#"{"faultline":"error_streak"}"#,
            r#"{"faultline":"error_streak","ts":"noon"}"#,
            r#"{"faultline":"error_streak","ts":"2026-11-20T15:43:09Z","streak":"many"}"#,
            r#"{"faultline":7,"ts":"2026-11-20T15:43:09Z"}"#,
        ] {
            assert_eq!(Event::read(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
