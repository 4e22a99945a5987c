//! Reads an event from its JSON, leniently: a missing key is a default, an unknown key is ignored and an unknown name
//! is kept as such, so that a log of another version is still worth reading; and a number may have become a text on its
//! way.
//!
//! The filter's own type (`filter_core::event`) only writes.

use std::hash::{DefaultHasher, Hash, Hasher};

use filter_core::time::Millis;
use serde::Deserialize;

use super::event::{Event, KEY, Kind, Last, Received, Route};
use super::scalar::{Flag, Moment, Number, Text, shared};
use super::{hot_switch, known};

/// Why an object with the key `faultline` is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoEvent {
    /// It has nothing else of one: a label of that name, for instance.
    Foreign,
    /// It lacks a time, and so does what it stands in, as far as that was looked at.
    Timeless,
    /// It has values of another type than the filter writes.
    Malformed,
}

/// Every key that an event can have.
#[derive(Default, Deserialize, Hash)]
#[serde(default)]
struct Keys<'a> {
    #[serde(borrow)]
    faultline: Text<'a>,
    v: Number,
    ts: Moment,
    #[serde(borrow)]
    cluster: Text<'a>,
    #[serde(borrow)]
    endpoint: Text<'a>,
    #[serde(borrow)]
    locality: Text<'a>,
    #[serde(borrow)]
    workload: Text<'a>,
    #[serde(borrow)]
    basis: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    streak: Number,
    threshold: Number,
    ejects: Flag,
    #[serde(borrow)]
    last: LastKeys<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    ejection: Number,
    ejected_endpoints: Number,
    endpoints: Number,
    ejected_seconds: Number,
    max_ejection_percent: Number,
    #[serde(borrow)]
    from: Text<'a>,
    #[serde(borrow)]
    to: Text<'a>,
    #[serde(borrow)]
    tier: Text<'a>,
    share: Number,
    #[serde(borrow)]
    cause: Text<'a>,
    healthy_at_home: Number,
    endpoints_at_home: Number,
    seconds: Number,
    requests_away: Number,
    errors_away: Number,
    #[serde(borrow)]
    destinations: Vec<ReceivedKeys<'a>>,
    #[serde(borrow)]
    because: Text<'a>,
    #[serde(borrow)]
    error: Text<'a>,
    count: Number,
}

/// Those keys, in the order in which the filter writes them: in an event, they tell of nothing but the event.
pub(super) const KEYS: [&str; 33] = [
    KEY,
    "v",
    "ts",
    "cluster",
    "endpoint",
    "locality",
    "workload",
    "basis",
    "kind",
    "streak",
    "threshold",
    "ejects",
    "last",
    "reason",
    "ejection",
    "ejected_endpoints",
    "endpoints",
    "ejected_seconds",
    "max_ejection_percent",
    "from",
    "to",
    "tier",
    "share",
    "cause",
    "healthy_at_home",
    "endpoints_at_home",
    "seconds",
    "requests_away",
    "errors_away",
    "destinations",
    "because",
    "error",
    "count",
];

/// Whether it is one of an event's own keys.
pub(super) fn is_key(key: &str) -> bool {
    KEYS.contains(&key)
}

#[derive(Default, Deserialize, Hash)]
#[serde(default)]
struct LastKeys<'a> {
    code: Number,
    #[serde(borrow)]
    flags: Text<'a>,
    #[serde(borrow)]
    details: Text<'a>,
    #[serde(borrow)]
    transport_failure: Text<'a>,
}

#[derive(Default, Deserialize, Hash)]
#[serde(default)]
struct ReceivedKeys<'a> {
    #[serde(borrow)]
    to: Text<'a>,
    seconds: Number,
    requests: Number,
    errors: Number,
}

/// Reads an object that has the key `faultline`. `otherwise` is when it was logged: its time, if it has none of its
/// own; whether it was needed is told.
pub(super) fn event(json: &str, otherwise: Option<Millis>) -> Result<(Event, TimeOf), NoEvent> {
    let keys: Keys<'_> = serde_json::from_str(json)
        .map_err(|_| if looks_like_one(json) { NoEvent::Malformed } else { NoEvent::Foreign })?;
    let name = keys.faultline.as_str();
    if !known::is_known(name) && keys.v.value() == 0.0 {
        return Err(NoEvent::Foreign);
    }
    let (at, of) = match (keys.ts.0, otherwise) {
        (Some(at), _) => (at, TimeOf::Event),
        (None, Some(at)) => (at, TimeOf::Record),
        (None, None) => return Err(NoEvent::Timeless),
    };
    let mut hasher = DefaultHasher::new();
    keys.hash(&mut hasher);
    at.hash(&mut hasher);
    let kind = if hot_switch::is_name(name) {
        hot_switch::read(json, &mut hasher).map(|switch| Kind::HotSwitch(Box::new(switch))).ok_or(NoEvent::Malformed)?
    } else {
        kind(&keys)
    };
    let event = Event {
        at,
        cluster: keys.cluster.owned(),
        endpoint: keys.endpoint.owned(),
        locality: keys.locality.owned(),
        workload: if hot_switch::is_name(name) { hot_switch::workload(&keys.workload) } else { keys.workload.owned() },
        basis: keys.basis.owned(),
        name: shared(name),
        mark: hasher.finish(),
        kind,
    };
    Ok((event, of))
}

/// Whose time an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeOf {
    /// Its own.
    Event,
    /// That of the record around it: on its way it lost its own.
    Record,
}

/// Whether an object that cannot be read names an event all the same.
fn looks_like_one(json: &str) -> bool {
    known::names().any(|name| json.contains(&format!("\"{name}\"")))
}

fn kind(keys: &Keys<'_>) -> Kind {
    let route = || Route {
        from: keys.from.owned(),
        to: keys.to.owned(),
        tier: keys.tier.owned(),
        share: keys.share.value(),
        cause: keys.cause.owned(),
        healthy_at_home: keys.healthy_at_home.whole(),
        endpoints_at_home: keys.endpoints_at_home.whole(),
    };
    match keys.faultline.as_str() {
        "error_streak" => Kind::ErrorStreak {
            kind: keys.kind.owned(),
            streak: keys.streak.whole(),
            threshold: keys.threshold.whole(),
            ejects: keys.ejects.0.unwrap_or(true),
            last: keys.last.owned(),
        },
        "endpoint_ejected" => Kind::EndpointEjected {
            reason: keys.reason.owned(),
            ejection: keys.ejection.whole(),
            ejected_endpoints: keys.ejected_endpoints.whole(),
            endpoints: keys.endpoints.whole(),
        },
        "endpoint_returned" => Kind::EndpointReturned { ejected_seconds: keys.ejected_seconds.value() },
        "endpoint_removed" => Kind::EndpointRemoved { ejected_seconds: keys.ejected_seconds.value() },
        "ejection_blocked" => Kind::EjectionBlocked {
            reason: keys.reason.owned(),
            max_ejection_percent: keys.max_ejection_percent.whole(),
            endpoints: keys.endpoints.whole(),
        },
        "failover_started" => Kind::FailoverStarted(route()),
        "failover_changed" => Kind::FailoverChanged(route()),
        "failover_ended" => Kind::FailoverEnded {
            from: keys.from.owned(),
            to: keys.to.owned(),
            seconds: keys.seconds.value(),
            requests_away: keys.requests_away.whole(),
            errors_away: keys.errors_away.whole(),
            destinations: keys.destinations.iter().map(ReceivedKeys::owned).collect(),
            because: keys.because.owned(),
        },
        "no_healthy_upstream" => Kind::NoHealthyUpstream { endpoints: keys.endpoints.whole() },
        "upstream_recovered" => Kind::UpstreamRecovered { seconds: keys.seconds.value() },
        "config_rejected" => Kind::ConfigRejected { error: keys.error.owned() },
        "events_suppressed" => Kind::EventsSuppressed { count: keys.count.whole(), seconds: keys.seconds.value() },
        _ => Kind::Unknown,
    }
}

impl LastKeys<'_> {
    fn owned(&self) -> Last {
        Last {
            code: u16::try_from(self.code.whole()).unwrap_or_default(),
            flags: self.flags.owned(),
            details: self.details.owned(),
            transport_failure: self.transport_failure.owned(),
        }
    }
}

impl ReceivedKeys<'_> {
    fn owned(&self) -> Received {
        Received {
            to: self.to.as_str().to_owned(),
            seconds: self.seconds.value(),
            requests: self.requests.whole(),
            errors: self.errors.whole(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_known_and_a_stranger_is_called_one() {
        let read = |name: &str| {
            let json = serde_json::json!({KEY: name, "v": 1, "ts": "2026-11-20T15:43:09.567Z", "new": {}});
            event(&json.to_string(), None).unwrap().0
        };
        for name in known::names() {
            assert_ne!(read(name).kind, Kind::Unknown, "{name}");
        }
        assert_eq!(read("moon_eclipsed").kind, Kind::Unknown);
        assert_eq!(read("moon_eclipsed").at, 1_795_189_389_567);
    }

    #[test]
    fn what_has_no_time_or_wrong_types_is_no_event() {
        for (text, wanted) in [
            (r#"{"faultline":"error_streak"}"#, NoEvent::Timeless),
            (r#"{"faultline":"error_streak","ts":"noon"}"#, NoEvent::Malformed),
            (r#"{"faultline":"error_streak","ts":"2026-11-20T15:43:09Z","streak":"many"}"#, NoEvent::Malformed),
            (r#"{"faultline":7,"ts":"2026-11-20T15:43:09Z"}"#, NoEvent::Foreign),
            (r#"{"faultline":"enabled","pod":"x"}"#, NoEvent::Foreign),
        ] {
            assert_eq!(event(text, None).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn what_became_a_text_on_its_way_is_read_as_the_number_that_it_was() {
        let plain = r#"{"faultline":"no_healthy_upstream","ts":"2026-11-20T15:43:09Z","endpoints":4}"#;
        let shipped =
            r#"{"endpoints":"4","faultline":"no_healthy_upstream","ts":1795189389.0,"pod":"x","cluster":null}"#;
        let (plain, shipped) = (event(plain, None).unwrap(), event(shipped, None).unwrap());
        assert_eq!(plain, shipped);
        let without = r#"{"faultline":"no_healthy_upstream","endpoints":4}"#;
        assert_eq!(event(without, Some(5)).map(|(event, of)| (event.at, of)), Ok((5, TimeOf::Record)));
    }
}
