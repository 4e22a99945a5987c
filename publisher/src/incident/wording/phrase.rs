//! What one event means, in a line for the person on call; the report's timeline and `faultline watch` speak with these words.

use super::event::{Event, Kind, Route, millis};
use super::words;

/// How the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something broke.
    Bad,
    /// Something is on its way to break, or traffic is not where it belongs.
    Warning,
    /// Something is well again.
    Good,
    /// Something to know.
    Note,
}

/// An event in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// How the news is.
    pub tone: Tone,
    /// What it is, in one or two words.
    pub label: &'static str,
    /// The sentence, without the service's name.
    pub text: String,
}

/// The longest label.
pub const LABEL_WIDTH: usize = 16;

/// Says what an event means.
pub fn of(event: &Event) -> Phrase {
    let place = format!("{} in {}", event.endpoint, words::place(&event.locality));
    let basis = if event.basis == "inferred" { " (inferred)" } else { "" };
    let (tone, label, text) = match &event.kind {
        Kind::ErrorStreak { kind, streak, threshold, last } => {
            let row = if *streak == 1 { "once".to_owned() } else { format!("{streak} times in a row") };
            let text = format!("{place}: {}, {row} (Envoy ejects at {threshold})", words::cause(kind, last));
            (Tone::Warning, "failing", text)
        }
        Kind::EndpointEjected { ejected_endpoints, endpoints, reason, ejection } => {
            let again = if *ejection > 1 { format!(" for the {} time", ordinal(*ejection)) } else { String::new() };
            let reason = reason.replace('_', " ");
            let text = format!(
                "{place}: out of rotation{again} ({reason}); {ejected_endpoints} of {endpoints} are out{basis}"
            );
            (Tone::Bad, "ejected", text)
        }
        Kind::EndpointReturned { ejected_seconds } => {
            let text = format!("{place}: back in rotation after {}{basis}", words::duration(millis(*ejected_seconds)));
            (Tone::Good, "returned", text)
        }
        Kind::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
            let why = match reason.as_str() {
                "max_ejection_percent" => {
                    format!("one more would exceed maxEjectionPercent {max_ejection_percent} of {endpoints} endpoints")
                }
                "not_enforced" => "Envoy does not enforce this rule".to_owned(),
                other => other.replace('_', " "),
            };
            (Tone::Bad, "ejection blocked", format!("{place}: fails and stays in rotation, {why}"))
        }
        Kind::FailoverStarted(route) => (Tone::Warning, "failover", went(route, "goes", basis)),
        Kind::FailoverChanged(route) => (Tone::Warning, "failover changed", went(route, "now goes", basis)),
        Kind::FailoverEnded { from, seconds, requests_away, errors_away, because, .. } => {
            let served = format!(
                "{} served away in {}, {} failed",
                words::count(*requests_away, "request"),
                words::duration(millis(*seconds)),
                errors_away
            );
            let from = words::place(from);
            let text = match because.as_str() {
                "topology" => format!("{from} has no endpoints any more, away is home now; {served}"),
                _ => format!("traffic is back in {from}; {served}"),
            };
            (Tone::Good, "failover over", text)
        }
        Kind::NoHealthyUpstream { endpoints } => {
            let text = format!("none of {} is healthy: callers get 503 at once", words::count(*endpoints, "endpoint"));
            (Tone::Bad, "nothing left", text)
        }
        Kind::UpstreamRecovered { seconds } => {
            let text = format!("requests are answered again after {}", words::duration(millis(*seconds)));
            (Tone::Good, "answers again", text)
        }
        Kind::ConfigRejected { error } => {
            (Tone::Bad, "config rejected", format!("the filter's configuration is not in force: {error}"))
        }
        Kind::EventsSuppressed { count, seconds } => {
            let text = format!(
                "{} held back in {}; the metrics have them",
                words::count(*count, "event"),
                words::duration(millis(*seconds))
            );
            (Tone::Note, "held back", text)
        }
        Kind::Unknown => (Tone::Note, "unknown", format!("`{}`, which this version does not know", event.name)),
    };
    Phrase { tone, label, text }
}

fn went(route: &Route, goes: &str, basis: &str) -> String {
    format!(
        "{} of the traffic of {} {goes} to {}; {} of {} healthy at home{basis}",
        words::percent(route.share),
        words::place(&route.from),
        words::place(&route.to),
        route.healthy_at_home,
        words::count(route.endpoints_at_home, "endpoint"),
    )
}

fn ordinal(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Phrase {
        of(&Event::read(&serde_json::from_str(text).unwrap()).unwrap())
    }

    #[test]
    fn every_event_has_a_sentence_of_its_own() {
        let mut labels = Vec::new();
        for (name, _) in filter_core::event::EventKind::TABLE {
            let phrase = phrase(&format!(r#"{{"faultline":"{name}","ts":"2026-11-20T15:43:09.567Z"}}"#));
            assert!(phrase.label.len() <= LABEL_WIDTH && phrase.label != "unknown", "{phrase:?}");
            labels.push(phrase.label);
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), filter_core::event::EventKind::TABLE.len());
    }

    #[test]
    fn a_failover_is_told_with_its_share() {
        let text = r#"{"faultline":"failover_started","ts":"2026-11-20T15:43:09.575Z","cluster":"c","basis":"witnessed",
            "from":"r/a","to":"r/b","tier":"same_region","share":1.0,"healthy_at_home":0,"endpoints_at_home":1}"#;
        assert_eq!(phrase(text).text, "100 % of the traffic of a goes to b; 0 of 1 endpoint healthy at home");
    }
}
