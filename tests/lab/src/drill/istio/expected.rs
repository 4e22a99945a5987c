//! The events that a proxy must report in a step, and their keys.

use std::fmt;

use serde_json::Value;

use crate::envoy::events::Event;

/// An event that must or may come, once.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its keys, `faultline` among them, with the values that they must have.
    keys: Value,
    /// Whether it must come.
    pub must: bool,
}

/// The keys that say what an event is about; the others say what is told about it.
const SUBJECT: [&str; 3] = ["faultline", "endpoint", "from"];

impl Expected {
    /// An event that must come, once, with these keys.
    pub(super) fn must(keys: Value) -> Self {
        Self { keys, must: true }
    }

    /// An event that may come.
    pub(super) fn may(keys: Value) -> Self {
        Self { keys, must: false }
    }

    /// Whether an event is this one, whatever else it says.
    pub(super) fn is_about(&self, event: &Event) -> bool {
        SUBJECT
            .iter()
            .filter_map(|key| Some((key, self.keys.get(key)?)))
            .all(|(key, value)| event.fields[key] == *value)
    }

    /// What an event that is this one says otherwise.
    fn differences(&self, event: &Event) -> Vec<String> {
        let keys = self.keys.as_object().into_iter().flatten();
        let differs = |(key, value): (&String, &Value)| {
            let found = event.fields.get(key);
            let told = found.map_or_else(|| "absent".to_owned(), Value::to_string);
            (found != Some(value)).then(|| format!("{}: {key} is {told} and not {value}", event.name()))
        };
        keys.filter_map(differs).collect()
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = SUBJECT.iter().filter_map(|key| self.keys.get(key)?.as_str());
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

/// What is wrong with `events`: what did not come, came twice, says something else, or was not expected. A failover may
/// be reported again as its share grows.
pub(super) fn complaints(events: &[Event], expected: &[Expected]) -> Vec<String> {
    let mut complaints = Vec::new();
    for one in expected {
        let found: Vec<&Event> = events.iter().filter(|event| one.is_about(event)).collect();
        if found.is_empty() && one.must {
            complaints.push(format!("{one} did not come"));
        }
        if found.len() > 1 && one.must {
            complaints.push(format!("{one} came {} times", found.len()));
        }
        complaints.extend(found.first().into_iter().flat_map(|event| one.differences(event)));
    }
    let others = events
        .iter()
        .filter(|event| event.name() != "failover_changed" && !expected.iter().any(|one| one.is_about(event)));
    complaints.extend(others.map(|event| format!("this came and was not expected: {event}")));
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_double_different_or_unexpected_is_told() {
        let ejected = r#"{"faultline":"endpoint_ejected","endpoint":"10.0.0.1:80","basis":"inferred"}"#;
        let ended = r#"{"faultline":"failover_ended","from":"a/b"}"#;
        let streak = r#"{"faultline":"error_streak","endpoint":"10.0.0.2:80"}"#;
        let events = [ejected, ejected, ended, streak].map(|line| Event::in_line(line).unwrap());
        let expected = [
            Expected::must(json!({
                "faultline": "endpoint_ejected", "endpoint": "10.0.0.1:80", "basis": "witnessed", "ejection": 1,
            })),
            Expected::must(json!({ "faultline": "failover_started", "from": "a/b" })),
            Expected::may(json!({ "faultline": "failover_ended" })),
        ];
        assert_eq!(
            complaints(&events, &expected),
            [
                "endpoint_ejected 10.0.0.1:80 came 2 times".to_owned(),
                "endpoint_ejected: basis is \"inferred\" and not \"witnessed\"".to_owned(),
                "endpoint_ejected: ejection is absent and not 1".to_owned(),
                "failover_started a/b did not come".to_owned(),
                format!("this came and was not expected: {streak}"),
            ]
        );
    }
}
