//! Records that are parts of one line: Docker splits lines at 16 KiB, and containerd where its buffer ends. Shippers
//! hand the parts on one by one, marked or not.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;

use super::json::{self, Node, Pairs};
use super::labels::Labels;
use super::records::MAX_LINE_BYTES;

/// Docker's files have a line of so many bytes in one record; the last part alone ends with a line end.
const DOCKER_BYTES: usize = 16 << 10;

/// As many bytes may be lost where a character was cut in two.
const MOST_LOST: usize = 8;

/// Lines that may be open at once.
const MOST_OPEN: usize = 1_000;

/// Where a part stands in its record.
const MESSAGES: [&str; 4] = ["log", "message", "MESSAGE", "msg"];

/// The keys of a record of Docker's own file.
const DOCKERS: [&str; 4] = ["log", "stream", "time", "attrs"];

/// Puts parts together.
#[derive(Default)]
pub(super) struct Joiner {
    /// By whose they are: the message so far, and its last record.
    open: BTreeMap<String, (String, String)>,
}

impl Joiner {
    /// The record; with the parts before it, if it ends a line; none if its line goes on. `part` is the file that the
    /// record is from, where a text holds several.
    pub(super) fn whole<'t>(&mut self, part: &str, record: &'t str) -> Option<Cow<'t, str>> {
        let as_it_is = Some(Cow::Borrowed(record));
        if self.open.is_empty() && !may_go_on(record) {
            return as_it_is;
        }
        let Some(pairs) = json::pairs(record) else { return as_it_is };
        let Some(message) = message(&pairs) else { return as_it_is };
        let whose = whose(part, &pairs);
        if goes_on(&pairs, &message) && (self.open.len() < MOST_OPEN || self.open.contains_key(&whose)) {
            let (text, last) = self.open.entry(whose).or_default();
            if text.len() < MAX_LINE_BYTES {
                text.push_str(&message);
            }
            record.clone_into(last);
            return None;
        }
        let Some((mut text, _)) = self.open.remove(&whose) else { return as_it_is };
        text.push_str(&message);
        Some(Cow::Owned(with_message(&pairs, &text)))
    }

    /// The lines whose end has not come.
    pub(super) fn unfinished(&mut self) -> Vec<String> {
        let open = std::mem::take(&mut self.open);
        open.into_values().filter_map(|(text, last)| Some(with_message(&json::pairs(&last)?, &text))).collect()
    }
}

/// Whether it is worth looking at closely.
fn may_go_on(record: &str) -> bool {
    let has = |text: &str| memmem::find(record.as_bytes(), text.as_bytes()).is_some();
    record.len() >= DOCKER_BYTES - MOST_LOST || has("\"P\"") || has("partial_") || has("PARTIAL_")
}

fn message<'n>(pairs: &'n Pairs<'_>) -> Option<Cow<'n, str>> {
    MESSAGES.iter().find_map(|key| match pairs.get(key)? {
        Node::Json(text) => json::string(text),
        Node::Text(_) => None,
    })
}

/// Whose part it is: the file, the container, the stream, and the line's number where it has one.
fn whose(part: &str, pairs: &Pairs<'_>) -> String {
    let labels = Labels::of(pairs, &|key| MESSAGES.contains(&key));
    let told = |keys: [&str; 2]| keys.iter().find_map(|key| json::scalar(pairs.get(key)?)).unwrap_or_default();
    let stream = told(["stream", "source"]);
    let line = told(["partial_id", "CONTAINER_PARTIAL_ID"]);
    let Labels { cluster, namespace, container, .. } = &labels;
    [part, cluster, namespace, labels.name(), container, &stream, &line].join("\u{1f}")
}

/// Whether the line goes on in the next record.
fn goes_on(pairs: &Pairs<'_>, message: &str) -> bool {
    let told = |keys: [&str; 2]| {
        keys.iter().find_map(|key| match pairs.get(key)? {
            Node::Json(text) => Some(text.trim().trim_matches('"').to_owned()),
            Node::Text(text) => Some((*text).to_owned()),
        })
    };
    if let Some(tag) = told(["logtag", "_p"]) {
        return tag == "P";
    }
    if let Some(is_last) = told(["partial_last", "CONTAINER_PARTIAL_LAST"]) {
        return is_last == "false";
    }
    if let Some(is_part) = told(["partial_message", "CONTAINER_PARTIAL_MESSAGE"]) {
        return is_part == "true";
    }
    message.len() >= DOCKER_BYTES - MOST_LOST
        && !message.ends_with('\n')
        && pairs.iter().all(|(key, _)| DOCKERS.contains(&key))
}

/// The record with another message.
fn with_message(pairs: &Pairs<'_>, text: &str) -> String {
    let mut is_replaced = false;
    let mut fields = Vec::new();
    for (key, node) in pairs.iter() {
        let is_message = !is_replaced && MESSAGES.contains(&key);
        is_replaced |= is_message;
        let value = match node {
            _ if is_message => serde_json::Value::from(text).to_string(),
            Node::Json(json) => json.to_string(),
            Node::Text(text) => serde_json::Value::from(*text).to_string(),
        };
        fields.push(format!("{}:{value}", serde_json::Value::from(key)));
    }
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_stream_become_a_line_and_others_stay_as_they_are() {
        let mut joiner = Joiner::default();
        let docker = |log: &str, stream: &str| format!("{{\"log\":{log:?},\"stream\":{stream:?},\"time\":\"t\"}}");
        let long = "x".repeat(DOCKER_BYTES);
        let [first, other, last] = [docker(&long, "stdout"), docker("y\n", "stderr"), docker("z\n", "stdout")];
        assert_eq!(joiner.whole("", &first), None);
        assert_eq!(joiner.whole("", &other).as_deref(), Some(other.as_str()));
        let whole = joiner.whole("", &last).unwrap();
        assert_eq!(whole, docker(&format!("{long}z\n"), "stdout"));
        assert!(joiner.unfinished().is_empty());
        // A shipper's record has lost its line end, and is whole.
        let shipped = format!(r#"{{"log":"{long}","stream":"stdout","kubernetes":{{"pod_name":"p"}}}}"#);
        assert_eq!(joiner.whole("", &shipped).as_deref(), Some(shipped.as_str()));
    }

    #[test]
    fn marked_parts_are_joined_by_pod() {
        let mut joiner = Joiner::default();
        let cri = |pod: &str, tag: &str, text: &str| {
            format!(r#"{{"log":"{text}","logtag":"{tag}","kubernetes":{{"pod_name":"{pod}"}}}}"#)
        };
        assert_eq!(joiner.whole("", &cri("a", "P", "1")), None);
        assert_eq!(joiner.whole("", &cri("b", "P", "2")), None);
        assert_eq!(joiner.whole("", &cri("a", "F", "3")).unwrap(), cri("a", "F", "13"));
        assert_eq!(joiner.unfinished(), [cri("b", "P", "2")]);
        let journal = |last: bool, text: &str| {
            format!(
                r#"{{"MESSAGE":"{text}","CONTAINER_PARTIAL_MESSAGE":"true","CONTAINER_PARTIAL_ID":"i","CONTAINER_PARTIAL_LAST":"{last}"}}"#
            )
        };
        assert_eq!(joiner.whole("", &journal(false, "1")), None);
        assert_eq!(joiner.whole("", &journal(true, "2")).unwrap(), journal(true, "12"));
    }
}
