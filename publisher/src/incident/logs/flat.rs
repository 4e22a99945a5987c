//! An event that was taken apart on its way: its keys are columns of a table, attributes of a record, or keys with
//! something put before them (`log.faultline`). It is put together again.

use serde_json::{Map, Value};

use super::event::KEY;
use super::json::{Node, Pairs};
use super::{hot_switch, known, parse};

/// Keys whose values are texts, whatever they look like.
const TEXTS: [&str; 19] = [
    KEY,
    "ts",
    "cluster",
    "endpoint",
    "locality",
    "workload",
    "basis",
    "kind",
    "reason",
    "from",
    "to",
    "tier",
    "because",
    "error",
    "pod",
    "node",
    "why",
    "directions",
    "would",
];

/// The number, or truth, that became a text on its way.
fn bare(value: Value) -> Value {
    match &value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(number @ (Value::Number(_) | Value::Bool(_))) => number,
            _ => value,
        },
        _ => value,
    }
}

/// An event, put together.
#[derive(Debug)]
pub(super) struct Flat {
    /// Its JSON.
    pub(super) json: String,
    /// Whether its own time came with it.
    pub(super) has_time: bool,
    /// What stands before each of its keys.
    prefix: String,
    /// Keys that only events of its name have.
    more: &'static [&'static str],
}

impl Flat {
    /// The event that these pairs are, if they are one.
    pub(super) fn of(pairs: &Pairs<'_>) -> Option<Self> {
        let before = |key: &str| key.strip_suffix(KEY).map(str::to_owned);
        let is_apart = |prefix: &String| prefix.is_empty() || prefix.ends_with(['.', '_', '/']);
        let prefix = pairs.iter().filter_map(|(key, _)| before(key)).find(is_apart)?;
        let is_key = |own: &str| parse::is_key(own) || hot_switch::KEYS.contains(&own);
        let mut fields = Map::new();
        for (key, node) in pairs.iter() {
            if let Some(own) = key.strip_prefix(&prefix).filter(|own| is_key(own))
                && let Some(value) = value(node)
            {
                fields.entry(own).or_insert(if TEXTS.contains(&own) { value } else { bare(value) });
            }
        }
        let name = fields.get(KEY)?.as_str()?;
        let is_event = known::is_known(name) || fields.contains_key("v");
        let more: &'static [&'static str] = if hot_switch::is_name(name) { &hot_switch::KEYS } else { &[] };
        let has_time = fields.contains_key("ts");
        let written: Vec<String> =
            parse::KEYS.iter().chain(more).filter_map(|key| Some(format!("\"{key}\":{}", fields.get(*key)?))).collect();
        is_event.then(|| Self { json: format!("{{{}}}", written.join(",")), has_time, prefix, more })
    }

    /// Whether a key is one of the event's own.
    pub(super) fn has(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|own| parse::is_key(own) || self.more.contains(&own))
    }
}

fn value(node: &Node<'_>) -> Option<Value> {
    match node {
        Node::Text(text) if text.trim().is_empty() => None,
        Node::Text(text) if text.trim_start().starts_with(['{', '[']) => serde_json::from_str(text).ok().map(plain),
        Node::Text(text) => Some(Value::String((*text).to_owned())),
        Node::Json(json) => serde_json::from_str(json).ok().map(plain),
    }
}

/// A value as the filter wrote it; OpenTelemetry writes its type around each: `{"stringValue": "x"}`,
/// `{"arrayValue": {"values": […]}}`, `{"kvlistValue": {"values": [{"key": …, "value": …}]}}`.
fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(fields) if fields.len() == 1 => {
            let Some((name, inner)) = fields.into_iter().next() else { return Value::Null };
            match (name.as_str(), inner) {
                ("values", Value::Array(items)) => of_values(items),
                ("intValue", inner) => bare(inner),
                (typed, inner) if typed.ends_with("Value") => plain(inner),
                (_, inner) => Value::Object(Map::from_iter([(name, plain(inner))])),
            }
        }
        Value::Object(fields) => fields.into_iter().map(|(name, inner)| (name, plain(inner))).collect(),
        scalar => scalar,
    }
}

/// The values of an array, or the pairs of an object.
fn of_values(items: Vec<Value>) -> Value {
    let key = |item: &Value| Some((item.get("key")?.as_str()?.to_owned(), item.get("value")?.clone()));
    match items.iter().map(key).collect::<Option<Vec<_>>>() {
        Some(pairs) if !pairs.is_empty() => pairs.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        _ => items.into_iter().map(plain).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn what_was_taken_apart_is_put_together() {
        let open_telemetry = r#"[{"key":"faultline","value":{"stringValue":"failover_ended"}},
            {"key":"v","value":{"intValue":"1"}},
            {"key":"destinations","value":{"arrayValue":{"values":[{"kvlistValue":{"values":[
                {"key":"to","value":{"stringValue":"r/b"}},{"key":"requests","value":{"intValue":"7"}}]}}]}}},
            {"key":"k8s.pod.name","value":{"stringValue":"p"}}]"#;
        let pairs = json::named(&json::elements(open_telemetry).unwrap()).unwrap();
        let flat = Flat::of(&pairs).unwrap();
        assert_eq!(flat.json, r#"{"faultline":"failover_ended","v":1,"destinations":[{"requests":7,"to":"r/b"}]}"#);
        assert!(!flat.has_time && flat.has("v") && !flat.has("k8s.pod.name"));

        let pairs = json::pairs(
            r#"{"log.faultline":"error_streak","log.ts":"2026-11-20T15:43:09Z","log.last":{"code":503},"ts":1,"pod":"p"}"#,
        );
        let flat = Flat::of(&pairs.unwrap()).unwrap();
        assert_eq!(flat.json, r#"{"faultline":"error_streak","ts":"2026-11-20T15:43:09Z","last":{"code":503}}"#);
        assert!(flat.has_time && !flat.has("pod") && !flat.has("ts"));
        for foreign in [r#"{"app_faultline":"enabled","x":1}"#, r#"{"myfaultline":"error_streak"}"#, r#"{"x":1}"#] {
            assert!(Flat::of(&json::pairs(foreign).unwrap()).is_none(), "{foreign}");
        }
    }
}
