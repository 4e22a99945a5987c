//! Events, in the form of the filter's: one JSON object on a line, its first key `faultline`.

use std::io::Write;

use hot_switch_core::event::FAILED;
use hot_switch_core::pod::News;
use hot_switch_core::refusal::Refusal;
use hot_switch_core::standing::{Directions, Protection};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// Whose event it is.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The pod, `namespace/name`.
    pub pod: &'a str,
    /// Its workload, the same way.
    pub workload: &'a str,
    /// The agent's node.
    pub node: &'a str,
    /// Which traffic a bypass takes past the proxy.
    pub directions: Directions,
    /// What a bypass would take away.
    pub protection: Protection,
}

/// The event's line, without a line break.
#[must_use]
pub fn line(now: OffsetDateTime, subject: Subject<'_>, news: &News) -> String {
    let mut keys = vec![
        ("v", json!(1)),
        ("ts", json!(timestamp(now))),
        ("pod", json!(subject.pod)),
        ("workload", json!(subject.workload)),
        ("node", json!(subject.node)),
    ];
    let directions = || json!(subject.directions.word());
    match news {
        News::Suspected(why) => keys.push(("why", json!(why.word()))),
        News::Recovered(seconds) => keys.push(("seconds", rounded(seconds.as_secs_f64()))),
        News::Bypassed(why, detected) => {
            keys.push(("why", json!(why.word())));
            keys.push(("detected_seconds", rounded(detected.as_secs_f64())));
            keys.push(("directions", directions()));
            keys.push(("unprotected", json!(unprotected(subject.directions))));
        }
        News::Adopted => {
            keys.push(("directions", directions()));
            keys.push(("unprotected", json!(unprotected(subject.directions))));
        }
        News::Restored(seconds) => keys.push(("seconds", rounded(seconds.as_secs_f64()))),
        News::Refused(reason, why) => {
            keys.push(("reason", json!(reason.word())));
            keys.push(("why", json!(why.word())));
            keys.push(("would", json!(would(*reason, subject.protection))));
        }
        News::Overdue(seconds) => keys.push(("seconds", rounded(seconds.as_secs_f64()))),
    }
    written(news.name(), keys)
}

/// An action that failed: what, and why. The bypass goes on as far as it came.
#[must_use]
pub fn failure(now: OffsetDateTime, subject: Subject<'_>, error: &anyhow::Error) -> String {
    let keys = vec![
        ("v", json!(1)),
        ("ts", json!(timestamp(now))),
        ("pod", json!(subject.pod)),
        ("workload", json!(subject.workload)),
        ("node", json!(subject.node)),
        ("error", json!(format!("{error:#}"))),
    ];
    written(FAILED, keys)
}

fn written(name: &str, keys: Vec<(&str, Value)>) -> String {
    // The name first: what reads logs looks for it.
    let mut line = format!("{{\"faultline\":\"{name}\"");
    for (key, value) in keys {
        let pair = Map::from_iter([(key.to_owned(), value)]);
        let text = Value::Object(pair).to_string();
        line.push(',');
        line.push_str(text.trim_start_matches('{').strip_suffix('}').unwrap_or_default());
    }
    line + "}"
}

fn rounded(seconds: f64) -> Value {
    json!((seconds * 1000.0).round() / 1000.0)
}

/// What does not hold while traffic goes past the proxy.
fn unprotected(directions: Directions) -> Vec<&'static str> {
    let inbound = ["inbound_mtls", "authorization", "inbound_telemetry"];
    let outbound = ["outbound_mtls", "egress_control", "routing_and_retries"];
    let mut lost = Vec::new();
    if directions.inbound() {
        lost.extend(inbound);
    }
    if directions.outbound() {
        lost.extend(outbound);
    }
    lost
}

/// What would be done if its owner said so: nothing, a bypass, or to ask the controller, who knows whether policy would
/// be lost.
fn would(refusal: Refusal, protection: Protection) -> &'static str {
    match (refusal, protection) {
        (Refusal::ReportOnly, Protection::Unknown) => "ask",
        (Refusal::ReportOnly, _) => "bypass",
        _ => "nothing",
    }
}

/// RFC 3339 with milliseconds, UTC.
fn timestamp(now: OffsetDateTime) -> String {
    let (date, time) = (now.date(), now.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

/// Writes a line to stdout, at once and whole.
pub fn write(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads: nothing can be told, and the work goes on.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use hot_switch_core::Moment;
    use hot_switch_core::sighting::Condition;

    use super::*;

    #[test]
    fn events_are_in_faultlines_form() {
        let (pod, workload, node) = ("shop/cart-1", "shop/cart", "n\"1");
        let (directions, protection) = (Directions::Outbound, Protection::None);
        let subject = Subject { pod, workload, node, directions, protection };
        let told = |news| line(OffsetDateTime::UNIX_EPOCH, subject, &news);
        assert_eq!(
            told(News::Bypassed(Condition::Hung, Moment::from_millis(3021))),
            r#"{"faultline":"proxy_bypassed","v":1,"ts":"1970-01-01T00:00:00.000Z","pod":"shop/cart-1","workload":"shop/cart","node":"n\"1","why":"proxy_hung","detected_seconds":3.021,"directions":"outbound","unprotected":["outbound_mtls","egress_control","routing_and_retries"]}"#
        );
        assert!(told(News::Refused(Refusal::ReportOnly, Condition::Dead)).contains(r#""would":"bypass""#));
        let refused = told(News::Refused(Refusal::Budget, Condition::Dead));
        assert!(refused.contains(r#""reason":"budget""#) && refused.contains(r#""would":"nothing""#));
        assert!(serde_json::from_str::<Value>(&refused).is_ok());
    }
}
