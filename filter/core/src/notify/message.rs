//! Messages: alerts in Alertmanager's format, events for any other receiver.

use crate::config::notify::{Format, Notify};
use crate::encoded;
use crate::event::{Event, EventKind, FailoverCause, Route};
use crate::json;
use crate::locality::Locality;
use crate::names::service;
use crate::time::{Millis, rfc3339};

/// The longest value of a label, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// A message to be sent, without what is the same for all messages of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    cluster: String,
    /// Source and destination of a failover; `None` if nothing healthy is left. A webhook's failover is the same one
    /// wherever it goes, so both are unknown.
    route: Option<(Locality, Locality)>,
    pub(super) starts_at: Millis,
    pub(super) ends_at: Option<Millis>,
    /// Whether this is the start of a failover, which may wait for the proxy's turn.
    pub(super) may_wait: bool,
    /// When its turn comes, while it waits; 0 for what is sent at once.
    pub(super) due: Millis,
    /// Whether it is an event for a webhook, and not an alert for Alertmanager.
    is_event: bool,
    /// The description of an alert, or the JSON of an event.
    text: String,
}

encoded!(struct Message { cluster, route, starts_at, ends_at, may_wait, due, is_event, text });

impl Message {
    /// The messages for an event, oldest first; most events have none.
    pub fn of(event: &Event, format: Format) -> Vec<Self> {
        let mut alerts = Self::alerts(event);
        if format == Format::Alertmanager {
            return alerts;
        }
        // Of a failover that moves on, the last one is about the failover as it is now.
        if alerts.len() > 1 {
            alerts.swap_remove(0);
        }
        for message in &mut alerts {
            message.route = message.is_failover().then(Default::default);
            message.may_wait = matches!(event.kind, EventKind::FailoverStarted(_));
            message.is_event = true;
            message.text = event.to_json();
        }
        alerts
    }

    /// Whether the message has this format.
    pub fn is_of(&self, format: Format) -> bool {
        self.is_event == (format == Format::Webhook)
    }

    fn alerts(event: &Event) -> Vec<Self> {
        let alert = |route: Option<(&Locality, &Locality)>, starts_at: Millis, ended: bool, text: String| Self {
            cluster: event.cluster.clone(),
            route: route.map(|(from, to)| (from.clone(), to.clone())),
            starts_at,
            ends_at: ended.then_some(event.at),
            may_wait: route.is_some() && !ended,
            due: 0,
            is_event: false,
            text,
        };
        let started = |route: &Route| {
            let (share, healthy, all) = (percent(route.share), route.healthy_at_home, route.endpoints_at_home);
            let cause = cause(route.cause);
            let detail = format!("{share}% of the traffic; {healthy} of {all} endpoint(s) at home healthy: {cause}");
            alert(Some((&route.from, &route.to)), event.at, false, detail)
        };
        let before = |seconds: f64| event.at.saturating_sub((seconds * 1000.0) as Millis);
        match &event.kind {
            EventKind::FailoverStarted(route) => vec![started(route)],
            // A failover to the same locality whose tier changed is the same alert.
            EventKind::FailoverChanged { route, left: None } => vec![started(route)],
            EventKind::FailoverChanged { route, left: Some((to, seconds)) } => {
                let detail = format!("it moved on to {}", route.to.as_str());
                vec![alert(Some((&route.from, to)), before(*seconds), true, detail), started(route)]
            }
            EventKind::FailoverEnded { from, to, seconds, requests_away, errors_away, because, .. } => {
                let detail = format!(
                    "{} after {} s, {requests_away} requests, {errors_away} errors",
                    because.as_str(),
                    whole(*seconds)
                );
                vec![alert(Some((from, to)), before(*seconds), true, detail)]
            }
            EventKind::NoHealthyUpstream { endpoints } => {
                vec![alert(None, event.at, false, format!("none of {endpoints} endpoint(s) is healthy"))]
            }
            EventKind::UpstreamRecovered { seconds } => {
                vec![alert(None, before(*seconds), true, format!("recovered after {} s", whole(*seconds)))]
            }
            _ => Vec::new(),
        }
    }

    /// Whether both are about the same thing.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.route == other.route
    }

    /// Whether it is about a failover, and not about a cluster without a healthy endpoint.
    pub fn is_failover(&self) -> bool {
        self.route.is_some()
    }

    /// What is posted to a webhook: the event's JSON.
    pub fn event(&self) -> Option<&str> {
        self.is_event.then_some(&self.text)
    }

    /// The cluster that the message is about.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Source and destination of the failover; `None` if nothing healthy is left.
    pub fn route(&self) -> Option<(&str, &str)> {
        self.route.as_ref().map(|(from, to)| (from.as_str(), to.as_str()))
    }

    /// When it began.
    pub fn starts_at(&self) -> Millis {
        self.starts_at
    }

    /// The alert in the JSON of Alertmanager's API, sent by the proxy named `proxy`.
    pub fn to_json(&self, notify: &Notify, proxy: &str) -> String {
        let service = service(&self.cluster);
        let (name, severity, what) = self.kind();
        let mut labels = vec![("alertname", name), ("service", service), ("upstream_cluster", &self.cluster)];
        labels.push(("proxy", proxy));
        let mut summary = format!("{service}: {what}");
        if let Some((from, to)) = self.route() {
            labels.extend([("failover_from", known(from)), ("failover_to", known(to))]);
            labels.push(("region", from.split('/').next().unwrap_or_default()));
            summary.push_str(&format!(", from {} to {}", known(from), known(to)));
        }
        if !notify.labels.iter().any(|(name, _)| name == "severity") {
            labels.push(("severity", severity));
        }
        labels.extend(notify.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        labels.retain(|(_, value)| !value.is_empty());
        labels.iter_mut().for_each(|(_, value)| *value = bounded(value));
        let description = format!("As proxy {proxy} sees it: {}", self.text);
        json::object(|alert| {
            alert.object("labels", |object| labels.iter().for_each(|(name, value)| object.text(name, value)));
            alert.object("annotations", |object| {
                object.text("summary", &summary);
                object.text("description", &description);
            });
            alert.text("startsAt", &rfc3339(self.starts_at));
            if let Some(at) = self.ends_at {
                alert.text("endsAt", &rfc3339(at));
            }
        })
    }

    /// The alert's name, severity and summary, as in `deploy/prometheus`, which has no alert for a failover within a
    /// zone.
    fn kind(&self) -> (&'static str, &'static str, &'static str) {
        let Some((from, to)) = self.route() else {
            return ("FaultlineNoHealthyUpstream", "critical", "no healthy endpoint is left; requests fail");
        };
        let (mut from, mut to) = (from.split('/'), to.split('/'));
        if from.next() != to.next() {
            ("FaultlineFailoverToAnotherRegion", "critical", "failover to another region")
        } else if from.next() != to.next() {
            ("FaultlineFailoverToAnotherZone", "warning", "failover to another zone")
        } else {
            ("FaultlineFailover", "info", "failover within the zone")
        }
    }
}

fn cause(cause: FailoverCause) -> &'static str {
    match cause {
        FailoverCause::Ejected => "ejected by Envoy",
        FailoverCause::Unhealthy => "reported unhealthy",
        FailoverCause::EndpointsLeft => "endpoints left the cluster",
    }
}

fn whole(seconds: f64) -> u64 {
    seconds.round() as u64
}

fn percent(share: f64) -> u32 {
    (share * 100.0).round() as u32
}

/// A locality's name as the metrics write it, also if it is unknown.
fn known(locality: &str) -> &str {
    if locality.is_empty() { "unknown" } else { locality }
}

/// The text, cut if it is too long for a label.
fn bounded(text: &str) -> &str {
    let end = (0..=MAX_VALUE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
