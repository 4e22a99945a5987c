//! The filter's events in Envoy's log, in order, and functions that wait for one of them.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::wait::SAFETY_NET;

/// The start of the filter's event lines, after the prefix of Envoy's log.
const START: &str = "{\"faultline\":";

/// One event of the filter: the JSON object of its log line.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The object.
    pub fields: Value,
    // The text as written: a parsed object does not keep the order of its keys.
    text: String,
}

impl Event {
    /// The event in a line of Envoy's log, if there is one.
    pub fn in_line(line: &str) -> Option<Self> {
        let rest = &line[line.find(START)?..];
        // Istio's proxies write the thread behind the message.
        let mut values = serde_json::Deserializer::from_str(rest).into_iter();
        let fields = values.next()?.ok()?;
        let text = rest[..values.byte_offset()].to_owned();
        Some(Self { fields, text })
    }

    /// What happened, such as `endpoint_ejected`.
    pub fn name(&self) -> &str {
        self.text("faultline")
    }

    /// A key's text; empty when it is absent or not text.
    pub fn text(&self, key: &str) -> &str {
        self.fields[key].as_str().unwrap_or_default()
    }

    /// A key's number, if present.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.fields[key].as_f64()
    }

    /// Whether this is an event of that name about that endpoint (`ip:port`).
    pub fn is(&self, name: &str, endpoint: impl fmt::Display) -> bool {
        self.name() == name && self.text("endpoint") == endpoint.to_string()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Envoy's growing log, and the filter's events in it.
#[derive(Debug, Default)]
pub struct EventLog {
    seen: Mutex<Seen>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    events: Vec<Event>,
    closed: bool,
}

impl EventLog {
    /// Adds a line of the log.
    pub fn push(&self, line: String) {
        let mut seen = self.lock();
        seen.events.extend(Event::in_line(&line));
        seen.lines.push(line);
        self.grown.notify_all();
    }

    /// Marks the end of the log.
    pub fn close(&self) {
        self.lock().closed = true;
        self.grown.notify_all();
    }

    /// All events so far, in the order of the log.
    pub fn all(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// The events of this name so far.
    pub fn named(&self, name: &str) -> Vec<Event> {
        self.lock().events.iter().filter(|e| e.name() == name).cloned().collect()
    }

    /// Whether an event that satisfies `wanted` has occurred.
    pub fn any(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.lock().events.iter().any(wanted)
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// The last `n` lines of the log.
    pub fn tail(&self, n: usize) -> Vec<String> {
        let seen = self.lock();
        seen.lines[seen.lines.len().saturating_sub(n)..].to_vec()
    }

    /// Waits for a line of the log that contains `text`.
    ///
    /// # Errors
    /// If there is none within [`SAFETY_NET`], or Envoy has ended.
    pub fn wait_for_line(&self, text: &str) -> anyhow::Result<String> {
        let found = self.wait(|seen| seen.lines.iter().find(|l| l.contains(text)).cloned());
        found.ok_or_else(|| anyhow::anyhow!("no line with {text:?} in Envoy's log"))
    }

    /// Waits for the first event that satisfies `wanted`; `what` names it in the error.
    ///
    /// # Errors
    /// If there is none within [`SAFETY_NET`], or Envoy has ended; the message lists the events so far.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> anyhow::Result<Event> {
        let found = self.wait(|seen| seen.events.iter().find(|e| wanted(e)).cloned());
        found.ok_or_else(|| {
            let came: Vec<String> = self.all().iter().map(Event::to_string).collect();
            anyhow::anyhow!("{what} did not come; {} events did:\n{}", came.len(), came.join("\n"))
        })
    }

    fn wait<T>(&self, find: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        let waiting = |seen: &mut Seen| !seen.closed && find(seen).is_none();
        let waited = self.grown.wait_timeout_while(self.lock(), SAFETY_NET, waiting);
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_found_before_the_thread_that_istios_proxies_write() {
        let event = r#"{"faultline":"endpoint_removed","endpoint":"10.0.0.1:80"}"#;
        let line = format!("2026-11-29T01:28:42.050Z\twarning\tenvoy wasm\twasm log: {event}\tthread=17");
        assert_eq!(Event::in_line(&line).unwrap().to_string(), event);
    }

    #[test]
    fn an_event_is_found_behind_envoys_prefix() {
        let line = r#"[2026-08-01 10:00:00.000][7][warning][wasm] [source/x.cc:1] wasm log f faultline: {"faultline":"endpoint_ejected","v":1,"endpoint":"127.0.1.1:8000"}"#;
        let event = Event::in_line(line).unwrap();
        assert!(event.is("endpoint_ejected", "127.0.1.1:8000"));
        assert_eq!(event.number("v"), Some(1.0));
        assert_eq!(Event::in_line("[warning] nothing of ours"), None);
    }
}
