//! The log line of an event: one JSON object, its keys in the order of the documents.

use super::{Destination, Event, EventKind, LastAttempt, Route};
use crate::time::rfc3339;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

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
            Self::ErrorStreak { kind, streak, threshold, ejects, last } => {
                map.serialize_entry("kind", kind.as_str())?;
                map.serialize_entry("streak", streak)?;
                map.serialize_entry("threshold", threshold)?;
                if !ejects {
                    map.serialize_entry("ejects", ejects)?;
                }
                map.serialize_entry("last", &LastInEvent(last))
            }
            Self::EndpointEjected { reason, ejection, ejected_endpoints, endpoints } => {
                map.serialize_entry("reason", reason.as_str())?;
                map.serialize_entry("ejection", ejection)?;
                map.serialize_entry("ejected_endpoints", ejected_endpoints)?;
                map.serialize_entry("endpoints", endpoints)
            }
            Self::EndpointReturned { ejected_seconds, ejection }
            | Self::EndpointRemoved { ejected_seconds, ejection } => {
                map.serialize_entry("ejected_seconds", &rounded(*ejected_seconds))?;
                map.serialize_entry("ejection", ejection)
            }
            Self::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
                map.serialize_entry("reason", reason.as_str())?;
                map.serialize_entry("max_ejection_percent", max_ejection_percent)?;
                map.serialize_entry("endpoints", endpoints)
            }
            Self::FailoverStarted(route) | Self::FailoverChanged { route, .. } => route.serialize_keys(map),
            Self::FailoverEnded { from, to, seconds, requests_away, errors_away, destinations, because, .. } => {
                map.serialize_entry("from", from.as_str())?;
                map.serialize_entry("to", to.as_str())?;
                map.serialize_entry("seconds", &rounded(*seconds))?;
                map.serialize_entry("requests_away", requests_away)?;
                map.serialize_entry("errors_away", errors_away)?;
                map.serialize_entry("destinations", destinations)?;
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
        map.serialize_entry("cause", self.cause.as_str())?;
        map.serialize_entry("healthy_at_home", &self.healthy_at_home)?;
        map.serialize_entry("endpoints_at_home", &self.endpoints_at_home)
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("to", self.to.as_str())?;
        map.serialize_entry("seconds", &rounded(self.seconds))?;
        map.serialize_entry("requests", &self.requests)?;
        map.serialize_entry("errors", &self.errors)?;
        map.end()
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
