//! The incident and single events as JSON: public, so keys and their order stay as they are.

use std::cmp::Reverse;
use std::fmt;

use filter_core::time::Millis;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::incident::bypass::{Bypass, Refused};
use crate::incident::fleet::Fleet;
use crate::incident::model::Service;
use crate::incident::view::{MomentView, Suspect, View};
use crate::incident::written::{few, optional_time, time};
use crate::terminal::escape;

use super::text::Details;

/// Of a fleet so many services are told in full, those that were hit worst, and so many moments, the first.
const MOST_SERVICES: usize = 10;
const MOST_MOMENTS: usize = 100;

/// The incident, to be serialised.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    headline: &'a str,
    #[serde(serialize_with = "optional_time")]
    first: Option<Millis>,
    #[serde(serialize_with = "optional_time")]
    last: Option<Millis>,
    #[serde(serialize_with = "optional_time")]
    log_ends: Option<Millis>,
    lines: u64,
    events: usize,
    #[serde(serialize_with = "few")]
    proxies: &'a [String],
    proxy_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<&'a Fleet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    going_on_before: Option<&'a [String]>,
    services: Vec<ServiceAndCount<'a>>,
    look_first: &'a [Suspect<'a>],
    timeline: Vec<Moment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
    gaps: &'a [String],
    bypasses: &'a [Bypass],
    bypasses_refused: &'a [Refused],
}

/// How much of a fleet's report is not in it.
#[derive(Serialize)]
struct LeftOut {
    services: usize,
    timeline: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAndCount<'a> {
    #[serde(flatten)]
    service: &'a Service,
    proxy_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Moment<'a> {
    #[serde(serialize_with = "time")]
    at: Millis,
    #[serde(serialize_with = "time")]
    until: Millis,
    service: &'a str,
    event: &'a str,
    text: &'a str,
    #[serde(serialize_with = "few")]
    proxies: &'a [String],
    proxy_count: usize,
}

/// The incident as one JSON object; with a fleet's numbers where it is one, and of a fleet only so much else, unless
/// all is asked for.
pub(crate) fn report<'a>(view: &'a View<'_>, fleet: Option<&'a Fleet>, details: Details) -> impl Serialize + 'a {
    let incident = view.incident;
    let (most_services, most_moments) = match fleet {
        Some(_) if details == Details::WhereShort => (MOST_SERVICES, MOST_MOMENTS),
        _ => (usize::MAX, usize::MAX),
    };
    let mut services: Vec<&Service> = incident.services.iter().collect();
    if services.len() > most_services {
        services.sort_by_key(|service| Reverse(service.severity()));
    }
    let left_out = LeftOut {
        services: services.len().saturating_sub(most_services),
        timeline: view.timeline.len().saturating_sub(most_moments),
    };
    services.truncate(most_services);
    Report {
        headline: &view.headline,
        first: incident.first,
        last: incident.last,
        log_ends: incident.log_ends,
        lines: incident.lines,
        events: incident.events,
        proxies: &incident.proxies,
        proxy_count: incident.proxies.len(),
        fleet,
        going_on_before: view.going_on.as_ref().map(|going_on| going_on.sentences.as_slice()),
        services: services
            .into_iter()
            .map(|service| ServiceAndCount { proxy_count: service.proxies.len(), service })
            .collect(),
        look_first: &view.suspects,
        timeline: view.timeline.iter().take(most_moments).map(moment).collect(),
        left_out: (left_out.services + left_out.timeline > 0).then_some(left_out),
        gaps: &view.gaps,
        bypasses: &incident.bypasses.done,
        bypasses_refused: &incident.bypasses.refused,
    }
}

fn moment<'a>(view: &'a MomentView<'a>) -> Moment<'a> {
    let moment = view.moment;
    Moment {
        at: moment.event.at,
        until: moment.until,
        service: &moment.service,
        event: &moment.event.name,
        text: &view.phrase.text,
        proxies: &moment.proxies,
        proxy_count: moment.proxies.len(),
    }
}

/// The event on one line as it was logged, with further keys at its end. A key that it has already is left as it is.
/// What could steer a terminal is escaped.
pub(crate) fn event(json: &str, added: &[(&str, &str)]) -> String {
    let Ok(Keys(keys)) = serde_json::from_str::<Keys<'_>>(json) else {
        return escape::json(&json.replace(['\n', '\r'], " "));
    };
    let missing = |key: &str| !keys.iter().any(|(known, _)| known == key);
    let added = added.iter().filter(|(key, value)| !value.is_empty() && missing(key));
    let logged = keys.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), compact(value.get())));
    let added = added.map(|(key, value)| format!("{}:{}", Value::from(*key), Value::from(*value)));
    escape::json(&format!("{{{}}}", logged.chain(added).collect::<Vec<_>>().join(",")))
}

/// JSON without what stands between its tokens.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted || !c.is_ascii_whitespace() {
            out.push(c);
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    out
}

/// An object's keys in their order, with their values as they are written.
struct Keys<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Keys<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(next) = map.next_entry()? {
                    all.push(next);
                }
                Ok(Keys(all))
            }
        }
        from.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_printed_as_it_was_logged_on_one_line() {
        let logged = "{\n  \"z\": {\"flags\": \"UF\", \"code\": 503, \"a\": \"say \\\"x  y\\\" \"},\n  \
            \"share\": 1.0,\n  \"pod\": \"p\"\n}";
        assert_eq!(
            event(logged, &[("pod", "q"), ("source", "f"), ("namespace", "")]),
            r#"{"z":{"flags":"UF","code":503,"a":"say \"x  y\" "},"share":1.0,"pod":"p","source":"f"}"#
        );
    }
}
