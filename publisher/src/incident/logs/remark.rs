//! Lines of a proxy's log that are no events and bear on what events mean: what the filter says of itself, and that
//! the proxy ends or begins.
//!
//! The filter writes its remarks as `faultline: …`; Envoy puts `wasm log`, the plugin's name and a colon before them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use filter_core::time::{Millis, rfc3339};

use super::event::{Event, Kind, Name, parse_time};
use super::shapes;

/// The key that a remark has as JSON, as `watch` prints it.
pub(crate) const KEY: &str = "faultline_remark";

/// What Envoy says when it is told to end.
pub(super) const STOPPED: &str = "caught ENVOY_SIGTERM";

/// What comes before a line of a plugin.
const BEFORE: &str = "wasm log";

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// What it says.
    pub(crate) said: Said,
    /// As it was logged, without what Envoy puts around it.
    pub(crate) text: Name,
    /// When, if the line tells.
    pub(crate) at: Option<Millis>,
}

/// What a remark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A configuration is in force: the proxy has started, or has got another one.
    Started,
    /// The proxy ends.
    Stopped,
    /// Something is wrong with the filter's surroundings.
    Warning,
}

/// The remark in a line, and where in the line it stands.
pub(super) fn of(line: &str) -> Option<(Remark, Range<usize>)> {
    let at = || shapes::head(line).at.or_else(|| stamp(line));
    if let Some(from) = line.find(STOPPED) {
        let remark = Remark { said: Said::Stopped, text: STOPPED.into(), at: at() };
        return Some((remark, from..from + STOPPED.len()));
    }
    let from = line.find(BEFORE)?;
    let (before, rest) = line.split_at_checked(from)?;
    let (_, text) = rest.split_once(": ")?;
    let text = text.strip_prefix("faultline: ")?;
    // Istio's agent puts the thread's number behind a tab.
    let text = text.split('\t').next().unwrap_or_default().trim_end();
    let informs = before.contains("[info]") || before.contains("\tinfo\t");
    let said = said(text).filter(|said| *said != Said::Warning || !informs)?;
    Some((Remark { said, text: text.into(), at: at() }, from..line.trim_end().len()))
}

/// The remark with this text, as `watch` prints it.
pub(super) fn of_text(text: &str) -> Option<Remark> {
    let said = if text == STOPPED { Said::Stopped } else { said(text)? };
    Some(Remark { said, text: text.into(), at: None })
}

/// What a text of the filter's says; none if it is good to know and no more.
fn said(text: &str) -> Option<Said> {
    if text.ends_with(" watches, its configuration is in force") {
        return Some(Said::Started);
    }
    let informs = text.starts_with("home is ") || text.ends_with(" answers again");
    (!informs && !text.starts_with('{') && !text.is_empty()).then_some(Said::Warning)
}

/// The time that Envoy writes at a line's beginning, without a zone: UTC in a container.
fn stamp(line: &str) -> Option<Millis> {
    let from = line.find("[20")? + 1;
    let (day, time) = line.get(from..from + 23)?.split_once(' ')?;
    parse_time(&format!("{day}T{time}Z"))
}

impl Remark {
    /// The same as an event at a time.
    pub(crate) fn event(&self, at: Millis) -> Event {
        let (name, kind) = match self.said {
            Said::Started => ("proxy_started", Kind::ProxyStarted),
            Said::Stopped => ("proxy_stopped", Kind::ProxyStopped),
            Said::Warning => ("filter_warning", Kind::FilterWarning { text: Name::clone(&self.text) }),
        };
        let mut hasher = DefaultHasher::new();
        (name, &self.text, at).hash(&mut hasher);
        Event { mark: hasher.finish(), ..Event::beside(at, name, kind) }
    }

    /// The same as JSON.
    pub(crate) fn json(&self, at: Millis) -> String {
        serde_json::json!({KEY: &*self.text, "ts": rfc3339(at)}).to_string()
    }

    /// Whether the result lacks nothing for what it says: Envoy's own rule counts where another one is configured.
    pub(crate) fn is_harmless(&self) -> bool {
        self.text.starts_with("cluster ") && self.text.ends_with("Envoy's rule counts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_HOME: &str = "where this proxy is, nothing tells (node.locality, its labels, priorities of endpoints): \
                           failovers cannot be told";

    #[test]
    fn a_remark_is_read_whatever_the_plugin_is_called() {
        for before in [
            "[2026-11-20 15:43:30.405][7][warning][wasm] [source/x.cc:1154] wasm log faultline: faultline: ",
            "[2026-11-20 15:43:30.405][7][warning][wasm] [source/x.cc:1154] wasm log shop.x faultline: faultline: ",
            "2026-11-20T15:43:30.405813Z\twarning\tenvoy wasm external/x.cc:1198\twasm log: faultline: ",
        ] {
            let (remark, _) = of(&format!("{before}{NO_HOME}\tthread=22")).unwrap();
            let wanted = Remark { said: Said::Warning, text: NO_HOME.into(), at: Some(1_795_189_410_405) };
            assert_eq!(remark, wanted, "{before}");
        }
    }

    #[test]
    fn what_is_no_remark_of_the_filters_is_none() {
        let of = |text: &str| of(&format!("[info][wasm] wasm log f: {text}")).map(|(remark, _)| remark.said);
        assert_eq!(of("faultline: 0.1.0 watches, its configuration is in force"), Some(Said::Started));
        for text in [
            "faultline: home is r/a (node.locality)",
            "faultline: witness: cluster x answers again",
            "faultline: something new",
            "another: faultline: x",
            "faultline",
            "{}",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
