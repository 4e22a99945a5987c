//! The log line of an event: one JSON object, its keys in the order of the documents.

use super::{Event, EventKind, LastAttempt, Route};
use crate::json::{self, Object};
use crate::time::rfc3339;

impl Event {
    /// The log line.
    pub fn to_json(&self) -> String {
        json::object(|object| self.write(object))
    }

    fn write(&self, object: &mut Object<'_>) {
        object.text("faultline", self.kind.name());
        object.number("v", 1);
        object.text("ts", &rfc3339(self.at));
        object.optional_text("cluster", &self.cluster);
        let locality = self.locality.as_ref().map(|locality| locality.as_str());
        let basis = self.basis.map(|basis| basis.as_str());
        for (name, text) in [
            ("endpoint", self.endpoint.as_deref()),
            ("locality", locality),
            ("workload", self.workload.as_deref()),
            ("basis", basis),
        ] {
            if let Some(text) = text {
                object.text(name, text);
            }
        }
        self.kind.write_keys(object);
    }
}

impl EventKind {
    /// Writes the keys that only this kind of event has, as [`EventKind::TABLE`] lists them.
    fn write_keys(&self, object: &mut Object<'_>) {
        match self {
            Self::ErrorStreak { kind, streak, threshold, ejects, last } => {
                object.text("kind", kind.as_str());
                object.number("streak", u64::from(*streak));
                object.number("threshold", u64::from(*threshold));
                if !ejects {
                    object.flag("ejects", *ejects);
                }
                object.object("last", |object| last.write_keys(object));
            }
            Self::EndpointEjected { reason, ejection, ejected_endpoints, endpoints } => {
                object.text("reason", reason.as_str());
                object.number("ejection", u64::from(*ejection));
                object.number("ejected_endpoints", u64::from(*ejected_endpoints));
                object.number("endpoints", u64::from(*endpoints));
            }
            Self::EndpointReturned { ejected_seconds, ejection }
            | Self::EndpointRemoved { ejected_seconds, ejection } => {
                object.decimal("ejected_seconds", *ejected_seconds);
                object.number("ejection", u64::from(*ejection));
            }
            Self::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
                object.text("reason", reason.as_str());
                object.number("max_ejection_percent", u64::from(*max_ejection_percent));
                object.number("endpoints", u64::from(*endpoints));
            }
            Self::FailoverStarted(route) | Self::FailoverChanged { route, .. } => route.write_keys(object),
            Self::FailoverEnded { from, to, seconds, requests_away, errors_away, destinations, because, .. } => {
                object.text("from", from.as_str());
                object.text("to", to.as_str());
                object.decimal("seconds", *seconds);
                object.number("requests_away", *requests_away);
                object.number("errors_away", *errors_away);
                object.list("destinations", destinations, |object, destination| {
                    object.text("to", destination.to.as_str());
                    object.decimal("seconds", destination.seconds);
                    object.number("requests", destination.requests);
                    object.number("errors", destination.errors);
                });
                object.text("because", because.as_str());
            }
            Self::NoHealthyUpstream { endpoints } => object.number("endpoints", u64::from(*endpoints)),
            Self::UpstreamRecovered { seconds } => object.decimal("seconds", *seconds),
            Self::ConfigRejected { error } => object.text("error", error),
            Self::EventsSuppressed { count, seconds } => {
                object.number("count", *count);
                object.decimal("seconds", *seconds);
            }
        }
    }
}

impl Route {
    fn write_keys(&self, object: &mut Object<'_>) {
        object.text("from", self.from.as_str());
        object.text("to", self.to.as_str());
        object.text("tier", self.tier.as_str());
        object.decimal("share", self.share);
        object.text("cause", self.cause.as_str());
        object.number("healthy_at_home", u64::from(self.healthy_at_home));
        object.number("endpoints_at_home", u64::from(self.endpoints_at_home));
    }
}

impl LastAttempt {
    fn write_keys(&self, object: &mut Object<'_>) {
        if let Some(code) = self.code {
            object.number("code", u64::from(code));
        }
        object.text("flags", &self.flags);
        object.text("details", &self.details);
        object.optional_text("transport_failure", &self.transport_failure);
    }
}
