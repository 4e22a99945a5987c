//! The incident and single events as JSON: public, so keys and their order stay as they are.

use std::fmt;

use filter_core::time::Millis;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::incident::bypass::{Bypass, Refused};
use crate::incident::model::Service;
use crate::incident::view::{MomentView, Suspect, View};
use crate::incident::written::{optional_time, time};

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
    proxies: &'a [String],
    services: &'a [Service],
    look_first: &'a [Suspect<'a>],
    timeline: Vec<Moment<'a>>,
    gaps: &'a [String],
    bypasses: &'a [Bypass],
    bypasses_refused: &'a [Refused],
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
    proxies: &'a [String],
}

/// The incident as one JSON object.
pub(crate) fn report(view: &View<'_>) -> impl Serialize {
    let incident = view.incident;
    Report {
        headline: &view.headline,
        first: incident.first,
        last: incident.last,
        log_ends: incident.log_ends,
        lines: incident.lines,
        events: incident.events,
        proxies: &incident.proxies,
        services: &incident.services,
        look_first: &view.suspects,
        timeline: view.timeline.iter().map(moment).collect(),
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
    }
}

/// The event on one line as it was logged, with further keys at its end. A key that it has already is left as it is.
pub(crate) fn event(json: &str, added: &[(&str, &str)]) -> String {
    let Ok(Keys(keys)) = serde_json::from_str::<Keys<'_>>(json) else { return json.replace(['\n', '\r'], " ") };
    let missing = |key: &str| !keys.iter().any(|(known, _)| known == key);
    let added = added.iter().filter(|(key, value)| !value.is_empty() && missing(key));
    let logged = keys.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), compact(value.get())));
    let added = added.map(|(key, value)| format!("{}:{}", Value::from(*key), Value::from(*value)));
    format!("{{{}}}", logged.chain(added).collect::<Vec<_>>().join(","))
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
