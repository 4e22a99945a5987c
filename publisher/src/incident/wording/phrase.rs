//! What one event means, in a line for the person on call; the report's timeline and `faultline watch` both use these
//! words.

use crate::incident::failure::Failure;
use crate::incident::logs::event::{Event, Kind, Route, millis};
use crate::incident::names;
use crate::incident::units::{count, duration, percent};
use crate::incident::view::{Phrase, Tone};

/// Says what an event means.
pub(crate) fn of(event: &Event) -> Phrase {
    let (tone, label) = headword(&event.kind);
    Phrase { tone, label, text: sentence(event) }
}

fn headword(kind: &Kind) -> (Tone, &'static str) {
    match kind {
        Kind::ErrorStreak { .. } => (Tone::Warning, "failing"),
        Kind::EndpointEjected { .. } => (Tone::Bad, "ejected"),
        Kind::EndpointReturned { .. } => (Tone::Good, "returned"),
        Kind::EjectionBlocked { .. } => (Tone::Bad, "ejection blocked"),
        Kind::FailoverStarted(_) => (Tone::Warning, "failover"),
        Kind::FailoverChanged(_) => (Tone::Warning, "failover changed"),
        Kind::FailoverEnded { .. } => (Tone::Good, "failover over"),
        Kind::NoHealthyUpstream { .. } => (Tone::Bad, "nothing left"),
        Kind::UpstreamRecovered { .. } => (Tone::Good, "answers again"),
        Kind::ConfigRejected { .. } => (Tone::Bad, "config rejected"),
        Kind::EventsSuppressed { .. } => (Tone::Note, "held back"),
        Kind::Unknown => (Tone::Note, "unknown"),
    }
}

fn sentence(event: &Event) -> String {
    let endpoint = format!("{} in {}", event.endpoint, names::locality(&event.locality));
    let basis = if event.basis == "inferred" { " (inferred)" } else { "" };
    match &event.kind {
        Kind::ErrorStreak { kind, streak, threshold, last } => {
            let row = if *streak == 1 { "once".to_owned() } else { format!("{streak} times in a row") };
            format!("{endpoint}: {}, {row} (Envoy ejects at {threshold})", Failure::of(kind, last))
        }
        Kind::EndpointEjected { ejected_endpoints, endpoints, reason, ejection } => {
            let again = if *ejection > 1 { format!(" for the {} time", ordinal(*ejection)) } else { String::new() };
            let reason = reason.replace('_', " ");
            format!("{endpoint}: out of rotation{again} ({reason}); {ejected_endpoints} of {endpoints} are out{basis}")
        }
        Kind::EndpointReturned { ejected_seconds } => {
            format!("{endpoint}: back in rotation after {}{basis}", duration(millis(*ejected_seconds)))
        }
        Kind::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
            let why = match reason.as_str() {
                "max_ejection_percent" => {
                    format!("one more would exceed maxEjectionPercent {max_ejection_percent} of {endpoints} endpoints")
                }
                "not_enforced" => "Envoy does not enforce this rule".to_owned(),
                other => other.replace('_', " "),
            };
            format!("{endpoint}: fails and stays in rotation, {why}")
        }
        Kind::FailoverStarted(route) => went(route, "goes", basis),
        Kind::FailoverChanged(route) => went(route, "now goes", basis),
        Kind::FailoverEnded { .. } => failover_over(&event.kind),
        Kind::NoHealthyUpstream { endpoints } => {
            format!("none of {} is healthy: callers get 503 at once", count(*endpoints, "endpoint"))
        }
        Kind::UpstreamRecovered { seconds } => {
            format!("requests are answered again after {}", duration(millis(*seconds)))
        }
        Kind::ConfigRejected { error } => format!("the filter's configuration is not in force: {error}"),
        Kind::EventsSuppressed { count: events, seconds } => {
            let lasted = duration(millis(*seconds));
            format!("{} held back in {lasted}; the metrics have them", count(*events, "event"))
        }
        Kind::Unknown => format!("`{}`, which this version does not know", event.name),
    }
}

fn failover_over(kind: &Kind) -> String {
    let Kind::FailoverEnded { from, seconds, requests_away, errors_away, because, .. } = kind else {
        return String::new();
    };
    let requests = count(*requests_away, "request");
    let served = format!("{requests} served away in {}, {errors_away} failed", duration(millis(*seconds)));
    let from = names::locality(from);
    match because.as_str() {
        "topology" => format!("{from} has no endpoints any more, away is home now; {served}"),
        _ => format!("traffic is back in {from}; {served}"),
    }
}

fn went(route: &Route, goes: &str, basis: &str) -> String {
    format!(
        "{} of the traffic of {} {goes} to {}; {} of {} healthy at home{basis}",
        percent(route.share),
        names::locality(&route.from),
        names::locality(&route.to),
        route.healthy_at_home,
        count(route.endpoints_at_home, "endpoint"),
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
            assert!(phrase.label.len() <= Phrase::LABEL_WIDTH && phrase.label != "unknown", "{phrase:?}");
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
