//! What one event means, in a line for the person on call; the report's timeline and `faultline watch` both use these
//! words.

use std::collections::BTreeSet;

use crate::incident::failure::Failure;
use crate::incident::logs::event::{Event, Kind, Received, Route, millis};
use crate::incident::names;
use crate::incident::units::{count, duration, number, percent};
use crate::incident::view::{Phrase, Tone};

use super::bypass;

/// Says what an event means.
pub(crate) fn of(event: &Event) -> Phrase {
    let (tone, label) = headword(&event.kind);
    Phrase { tone, label, text: sentence(event) }
}

fn headword(kind: &Kind) -> (Tone, &'static str) {
    match kind {
        Kind::ErrorStreak { .. } => (Tone::Warning, "failing"),
        Kind::EndpointEjected { .. } => (Tone::Bad, "ejected"),
        Kind::EndpointReturned { .. } => (Tone::Good, "ejection over"),
        Kind::EndpointRemoved { .. } => (Tone::Note, "removed"),
        Kind::EjectionBlocked { .. } => (Tone::Bad, "ejection blocked"),
        Kind::FailoverStarted(_) => (Tone::Warning, "failover"),
        Kind::FailoverChanged(_) => (Tone::Warning, "failover changed"),
        Kind::FailoverEnded { .. } => (Tone::Good, "failover over"),
        Kind::NoHealthyUpstream { .. } => (Tone::Bad, "nothing left"),
        Kind::UpstreamRecovered { .. } => (Tone::Good, "answers again"),
        Kind::ConfigRejected { .. } => (Tone::Bad, "config rejected"),
        Kind::EventsSuppressed { .. } => (Tone::Note, "held back"),
        Kind::HotSwitch(switch) => bypass::headword(&switch.what),
        Kind::ProxyStarted => (Tone::Note, "proxy started"),
        Kind::ProxyStopped => (Tone::Note, "proxy stopped"),
        Kind::FilterWarning { .. } => (Tone::Warning, "filter warns"),
        Kind::Unknown => (Tone::Note, "unknown"),
    }
}

fn sentence(event: &Event) -> String {
    let endpoint = format!("{} in {}", event.endpoint, names::locality(&event.locality));
    let basis = if &*event.basis == "inferred" { " (inferred)" } else { "" };
    match &event.kind {
        Kind::ErrorStreak { kind, streak, threshold, ejects, last } => {
            let row = if *streak == 1 { "once".to_owned() } else { format!("{streak} times in a row") };
            let then = if *ejects {
                format!("Envoy ejects at {threshold}")
            } else {
                "nothing will be ejected: the cluster has no outlier detection for it".to_owned()
            };
            format!("{endpoint}: {}, {row} ({then})", Failure::of(kind, last))
        }
        Kind::EndpointEjected { ejected_endpoints, endpoints, reason, ejection } => {
            let again = if *ejection > 1 { format!(" for the {} time", ordinal(*ejection)) } else { String::new() };
            let reason = reason.replace('_', " ");
            format!("{endpoint}: out of rotation{again} ({reason}); {ejected_endpoints} of {endpoints} are out{basis}")
        }
        Kind::EndpointReturned { ejected_seconds } => {
            // A health check or the control plane may still hold it: Envoy says no more than this.
            format!("{endpoint}: its ejection is over after {}{basis}", duration(millis(*ejected_seconds)))
        }
        Kind::EndpointRemoved { ejected_seconds } => {
            let took = duration(millis(*ejected_seconds));
            format!("{endpoint}: left the cluster or was replaced, ejected for {took} until then{basis}")
        }
        Kind::EjectionBlocked { reason, max_ejection_percent, endpoints } => {
            let why = match &**reason {
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
            let took = duration(millis(*seconds));
            format!("requests are answered again after {took}; until then callers got 503 at once")
        }
        Kind::ConfigRejected { error } => format!("the filter's configuration is not in force: {error}"),
        Kind::EventsSuppressed { count: events, seconds } => {
            let lasted = duration(millis(*seconds));
            format!("{} held back in {lasted}; the metrics have them", count(*events, "event"))
        }
        Kind::HotSwitch(switch) => bypass::sentence(switch),
        Kind::ProxyStarted => "the proxy started again: what it saw before is not known to it".to_owned(),
        Kind::ProxyStopped => "the proxy ends".to_owned(),
        Kind::FilterWarning { text } => text.to_string(),
        Kind::Unknown => format!("`{}`, which this version does not know", event.name),
    }
}

fn failover_over(kind: &Kind) -> String {
    let Kind::FailoverEnded { from, seconds, requests_away, errors_away, destinations, because, .. } = kind else {
        return String::new();
    };
    let requests = count(*requests_away, "request");
    let took = duration(millis(*seconds));
    let served = format!("{requests} served away in {took}, {} failed{}", number(*errors_away), shares(destinations));
    let from = names::locality(from);
    match &**because {
        "topology" => format!("{from} is home no more, it has no endpoints or is not the nearest; {served}"),
        _ => format!("traffic is back in {from}; {served}"),
    }
}

/// What each of several localities received, in brackets; empty for a single one.
pub(super) fn shares(received: &[Received]) -> String {
    let share = |one: &Received| {
        let failed = if one.errors > 0 { format!(", {} failed", number(one.errors)) } else { String::new() };
        format!("{} by {} in {}{failed}", number(one.requests), names::locality(&one.to), duration(millis(one.seconds)))
    };
    match received {
        [] | [_] => String::new(),
        many => format!(" ({})", many.iter().map(share).collect::<Vec<_>>().join("; ")),
    }
}

/// What kept traffic from home, as the end of a clause about the endpoints there; empty if the log does not tell.
fn cause(cause: &str) -> String {
    match cause {
        "" => String::new(),
        "ejected" => "ejected".to_owned(),
        "unhealthy" => "unhealthy by health check or control plane".to_owned(),
        "endpoints_left" => "gone from the cluster".to_owned(),
        other => other.replace('_', " "),
    }
}

/// What the endpoints at home were, over all proxies; empty if the logs do not tell.
pub(super) fn causes(causes: &BTreeSet<String>) -> String {
    // In the order in which an outage brings them about; what an older or newer filter calls otherwise comes last.
    let usual = ["ejected", "unhealthy", "endpoints_left"];
    let mut causes: Vec<&str> = causes.iter().map(String::as_str).collect();
    causes.sort_by_key(|cause| usual.iter().position(|one| one == cause).unwrap_or(usual.len()));
    causes.into_iter().map(cause).collect::<Vec<_>>().join(", or ")
}

/// The same as a clause.
pub(super) fn why(of: &BTreeSet<String>) -> String {
    if of.is_empty() { String::new() } else { format!("endpoints there were {}", causes(of)) }
}

fn went(route: &Route, goes: &str, basis: &str) -> String {
    let cause = match cause(&route.cause) {
        words if words.is_empty() => String::new(),
        words => format!(", the rest is {words}"),
    };
    format!(
        "{} of the traffic of {} {goes} to {}; {} of {} healthy at home{cause}{basis}",
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
        of(&crate::incident::logs::event_of(text))
    }

    #[test]
    fn every_event_has_a_sentence_of_its_own() {
        let mut labels = Vec::new();
        let of_filter = filter_core::event::EventKind::TABLE.map(|(name, _)| name);
        let names = || of_filter.into_iter().chain(hot_switch_core::event::NAMES);
        for name in names() {
            let phrase = phrase(&format!(r#"{{"faultline":"{name}","ts":"2026-11-20T15:43:09.567Z"}}"#));
            assert!(phrase.label.len() <= Phrase::LABEL_WIDTH && phrase.label != "unknown", "{phrase:?}");
            labels.push(phrase.label);
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), names().count());
    }

    #[test]
    fn a_failover_is_told_with_its_cause_and_its_end_with_every_destination() {
        let started = |cause: &str| {
            phrase(&format!(
                r#"{{"faultline":"failover_started","ts":"2026-11-20T15:43:09Z","from":"r/a","to":"r/b","share":0.4,
                    "cause":"{cause}","healthy_at_home":1,"endpoints_at_home":3}}"#
            ))
            .text
        };
        let told = "40 % of the traffic of a goes to b; 1 of 3 endpoints healthy at home";
        assert_eq!(started("ejected"), format!("{told}, the rest is ejected"));
        assert_eq!(started("unhealthy"), format!("{told}, the rest is unhealthy by health check or control plane"));
        assert_eq!(started("endpoints_left"), format!("{told}, the rest is gone from the cluster"));
        let ended = r#"{"faultline":"failover_ended","ts":"2026-11-20T15:43:09Z","from":"r/a","to":"r/b","seconds":15.0,
            "requests_away":120,"errors_away":2,"because":"recovered","destinations":[
            {"to":"r/b","seconds":12.0,"requests":100,"errors":0},{"to":"s/c","seconds":3.0,"requests":20,"errors":2}]}"#;
        assert_eq!(
            phrase(ended).text,
            "traffic is back in a; 120 requests served away in 15.0 s, 2 failed (100 by b in 12.0 s; 20 by c in 3.0 s, \
             2 failed)"
        );
    }

    #[test]
    fn causes_are_named_in_the_order_of_an_outage() {
        let all = ["of_another_version", "unhealthy", "endpoints_left", "ejected"].map(str::to_owned).into();
        assert_eq!(
            causes(&all),
            "ejected, or unhealthy by health check or control plane, or gone from the cluster, or of another version"
        );
    }

    #[test]
    fn a_streak_says_whether_envoy_acts_on_it_and_a_removal_that_nothing_came_back() {
        let streak = r#"{"faultline":"error_streak","ts":"2026-11-20T15:43:09Z","endpoint":"10.0.0.1:80",
            "locality":"r/a","kind":"5xx","streak":5,"threshold":5,"ejects":false,"last":{"code":503}}"#;
        assert_eq!(
            phrase(streak).text,
            "10.0.0.1:80 in a: answered 503, 5 times in a row (nothing will be ejected: the cluster has no outlier \
             detection for it)"
        );
        let removed = r#"{"faultline":"endpoint_removed","ts":"2026-11-20T15:43:09Z","endpoint":"10.0.0.1:80",
            "locality":"r/a","ejected_seconds":7.5,"ejection":1}"#;
        assert_eq!(
            phrase(removed).text,
            "10.0.0.1:80 in a: left the cluster or was replaced, ejected for 7.5 s until then"
        );
    }

    #[test]
    fn a_return_is_told_as_the_end_of_the_ejection_alone() {
        let returned = r#"{"faultline":"endpoint_returned","ts":"2026-11-20T15:43:09Z","endpoint":"10.0.0.1:80",
            "locality":"r/a","ejected_seconds":7.5,"ejection":1}"#;
        let Phrase { label, text, .. } = phrase(returned);
        assert_eq!((label, text.as_str()), ("ejection over", "10.0.0.1:80 in a: its ejection is over after 7.5 s"));
    }

    #[test]
    fn a_failover_is_told_with_its_share() {
        let text = r#"{"faultline":"failover_started","ts":"2026-11-20T15:43:09.575Z","cluster":"c","basis":"witnessed",
            "from":"r/a","to":"r/b","tier":"same_region","share":1.0,"healthy_at_home":0,"endpoints_at_home":1}"#;
        assert_eq!(phrase(text).text, "100 % of the traffic of a goes to b; 0 of 1 endpoint healthy at home");
    }
}
