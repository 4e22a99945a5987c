//! What hot-switch did, in words.

use hot_switch_core::refusal::Refusal;
use hot_switch_core::sighting::Condition;

use crate::incident::bypass::{Bypass, Bypasses, Refused};
use crate::incident::logs::event::{Name, Switch, Switched, Unprotected, millis};
use crate::incident::units::{Clock, count, duration};
use crate::incident::view::Tone;

/// As many pods are named in the headline.
const MOST_PODS: usize = 2;

/// What an event is, and how the news is.
pub(super) fn headword(switched: &Switched) -> (Tone, &'static str) {
    match switched {
        Switched::Suspected { .. } => (Tone::Warning, "proxy suspected"),
        Switched::Recovered { .. } => (Tone::Good, "proxy recovered"),
        Switched::Bypassed { .. } => (Tone::Warning, "proxy bypassed"),
        Switched::Adopted { .. } => (Tone::Note, "bypass adopted"),
        Switched::Restored { .. } => (Tone::Good, "proxy restored"),
        Switched::Refused { .. } => (Tone::Bad, "bypass refused"),
        Switched::Overdue { .. } => (Tone::Warning, "bypass overdue"),
        Switched::Failed { .. } => (Tone::Bad, "bypass failed"),
    }
}

/// What an event means.
pub(super) fn sentence(switch: &Switch) -> String {
    let pod = &switch.pod;
    match &switch.what {
        Switched::Suspected { why } => format!("{pod}: {}, seen twice; it is being made sure of", proxy(why)),
        Switched::Recovered { seconds } => {
            format!("{pod}: the proxy is well again after {}; nothing was done", duration(millis(*seconds)))
        }
        Switched::Bypassed { why, detected_seconds, unprotected } => {
            let after = duration(millis(*detected_seconds));
            format!("{pod}: {} for {after}; {} goes past it{}", proxy(why), traffic(unprotected), lost(unprotected))
        }
        Switched::Adopted { unprotected } => {
            format!("{pod}: {} was found going past the proxy, and is looked after", traffic(unprotected))
        }
        Switched::Restored { seconds } => {
            format!("{pod}: traffic goes through the proxy again, after {} past it", duration(millis(*seconds)))
        }
        Switched::Refused { reason, why } => format!("{pod}: {}, and nothing is done: {}", proxy(why), refusal(reason)),
        Switched::Overdue { seconds } => {
            format!("{pod}: traffic has gone past the proxy for {}: longer than it may", duration(millis(*seconds)))
        }
        Switched::Failed { error } => format!("{pod}: could not be done: {error}"),
    }
}

/// All of it in a sentence or two, for the headline; none if there is nothing.
pub(super) fn headline(all: &Bypasses) -> Option<String> {
    let mut told = Vec::new();
    let mut pods: Vec<&str> = Vec::new();
    for bypass in &all.done {
        if !pods.contains(&bypass.pod.as_str()) {
            pods.push(&bypass.pod);
        }
    }
    match pods.as_slice() {
        [] => {}
        [one] => {
            let total = all.done.iter().map(|bypass| bypass.span.length()).sum();
            let open = if all.done.iter().any(|bypass| bypass.open) { ", and still is" } else { "" };
            told.push(format!("The proxy of {one} was bypassed for {}{open}.", duration(total)));
        }
        many => {
            let open = all.done.iter().filter(|bypass| bypass.open).count();
            let open = if open > 0 { format!(", {open} of them still") } else { String::new() };
            let named = many.iter().take(MOST_PODS).copied().collect::<Vec<_>>().join(", ");
            let more = if many.len() > MOST_PODS { " and others" } else { "" };
            told.push(format!("{} were bypassed ({named}{more}){open}.", count(many.len() as u64, "proxy")));
        }
    }
    let mut refused: Vec<&str> = all.refused.iter().map(|one| one.pod.as_str()).collect();
    refused.sort_unstable();
    refused.dedup();
    refused.retain(|pod| !pods.contains(pod));
    match refused.as_slice() {
        [] => {}
        [one] => told.push(format!("The proxy of {one} failed and was not bypassed.")),
        many => told.push(format!("{} failed and were not bypassed.", count(many.len() as u64, "proxy"))),
    }
    (!told.is_empty()).then(|| told.join(" "))
}

/// Each bypass and each refusal in a sentence, in order of time.
pub(super) fn sentences(all: &Bypasses, clock: Clock) -> Vec<String> {
    let done = all.done.iter().map(|bypass| (bypass.span.from, done(bypass, clock)));
    let refused = all.refused.iter().map(|one| (one.at, refused(one, clock)));
    let mut told: Vec<(u64, String)> = done.chain(refused).collect();
    told.sort_by_key(|(at, _)| *at);
    told.into_iter().map(|(_, sentence)| sentence).collect()
}

fn done(bypass: &Bypass, clock: Clock) -> String {
    let unprotected = Unprotected {
        directions: bypass.directions.as_str().into(),
        lost: bypass.unprotected.iter().map(|lost| Name::from(lost.as_str())).collect(),
    };
    let from = clock.time(bypass.span.from);
    let from = if bypass.began_earlier { format!("before {from}") } else { from };
    let lasted = duration(bypass.span.length());
    let until = match (bypass.open, bypass.overdue) {
        (true, true) => ", not over, and longer than it may".to_owned(),
        (true, false) => ", not over".to_owned(),
        (false, _) => format!(", until {}", clock.time(bypass.span.to)),
    };
    let why = if bypass.why.is_empty() { String::new() } else { format!(" because {}", proxy(&bypass.why)) };
    let (pod, traffic) = (&bypass.pod, traffic(&unprotected));
    format!("{pod}: {traffic} went past the proxy from {from} for {lasted}{until}{why}{}", lost(&unprotected))
}

fn refused(one: &Refused, clock: Clock) -> String {
    let (at, why) = (clock.time(one.at), proxy(&one.why));
    format!("{}: not bypassed at {at}, although {why}: {}", one.pod, refusal(&one.reason))
}

/// `the proxy is dead`
fn proxy(why: &str) -> String {
    Condition::of_word(why).map_or_else(|| "the proxy fails".to_owned(), |condition| condition.words().to_owned())
}

fn traffic(unprotected: &Unprotected) -> &'static str {
    match &*unprotected.directions {
        "inbound" => "traffic to it",
        "outbound" => "traffic from it",
        _ => "its traffic",
    }
}

/// What does not hold meanwhile, as the end of a sentence; empty if nothing is said.
fn lost(unprotected: &Unprotected) -> String {
    let lost: Vec<String> = unprotected.lost.iter().map(|lost| lost.replace('_', " ")).collect();
    if lost.is_empty() { String::new() } else { format!("; without {}", lost.join(", ")) }
}

/// Why nothing was done.
fn refusal(reason: &str) -> String {
    Refusal::of_word(reason).map_or_else(|| reason.replace('_', " "), |refusal| refusal.words().to_owned())
}
