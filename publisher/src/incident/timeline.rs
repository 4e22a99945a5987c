//! What happened, in order, with what several proxies told of the same thing put into one moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use filter_core::time::Millis;
use serde::Serialize;

use super::event::{Event, Kind};
use super::incident::time;
use super::input::Input;
use super::phrase::{self, Tone};

/// Proxies that tell the same within this many milliseconds tell of one thing. Each needs traffic of its own to meet a fault, and
/// returns are seen on ticks of Envoy's interval, which is 10 s by default.
const TOGETHER: Millis = 10_000;

/// Something that happened, at one proxy or several.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When the first proxy told it.
    #[serde(serialize_with = "time")]
    pub at: Millis,
    /// When the last one did.
    #[serde(serialize_with = "time")]
    pub until: Millis,
    /// The service's short name; empty for the filter itself.
    pub service: String,
    /// The event's name.
    pub event: String,
    /// In a word or two.
    #[serde(skip)]
    pub label: &'static str,
    /// How the news is.
    #[serde(skip)]
    pub tone: Tone,
    /// In a sentence: the first proxy's, with the requests of all.
    pub text: String,
    /// Which proxies told it, by name.
    pub proxies: Vec<String>,
}

/// The moments of an input; `names` are the clusters' short names.
pub fn of(input: &Input, names: &BTreeMap<String, String>) -> Vec<Moment> {
    let mut moments: Vec<(Moment, Event, BTreeSet<usize>)> = Vec::new();
    let mut latest: HashMap<String, usize> = HashMap::new();
    for record in &input.records {
        let event = &record.event;
        let same = latest.get(&subject(event)).and_then(|index| moments.get_mut(*index));
        if let Some((moment, told, proxies)) = same
            && event.at.saturating_sub(moment.at) <= TOGETHER
            && proxies.insert(record.proxy)
        {
            moment.until = event.at;
            add(told, event);
            moment.text = phrase::of(told).text;
            continue;
        }
        latest.insert(subject(event), moments.len());
        let phrase = phrase::of(event);
        let moment = Moment {
            at: event.at,
            until: event.at,
            service: names.get(&event.cluster).cloned().unwrap_or_else(|| event.cluster.clone()),
            event: event.name.clone(),
            label: phrase.label,
            tone: phrase.tone,
            text: phrase.text,
            proxies: Vec::new(),
        };
        moments.push((moment, event.clone(), BTreeSet::from([record.proxy])));
    }
    let named = |(moment, _, proxies): (Moment, Event, BTreeSet<usize>)| Moment {
        proxies: proxies.iter().filter_map(|proxy| input.proxies.get(*proxy).cloned()).collect(),
        ..moment
    };
    moments.into_iter().map(named).collect()
}

/// Adds another proxy's requests to what the first ones told; the rest is the same, or the first one's.
fn add(told: &mut Event, another: &Event) {
    if let Kind::FailoverEnded { seconds, requests_away, errors_away, .. } = &mut told.kind
        && let Kind::FailoverEnded { seconds: longer, requests_away: more, errors_away: worse, .. } = &another.kind
    {
        *seconds = seconds.max(*longer);
        *requests_away = requests_away.saturating_add(*more);
        *errors_away = errors_away.saturating_add(*worse);
    }
}

/// What an event is about, so that two proxies' events about the same are known for it.
fn subject(event: &Event) -> String {
    let more = match &event.kind {
        Kind::FailoverStarted(route) | Kind::FailoverChanged(route) => format!("{} {}", route.from, route.to),
        Kind::FailoverEnded { from, .. } => from.clone(),
        Kind::ErrorStreak { kind, .. } => kind.clone(),
        Kind::EndpointEjected { reason, .. } | Kind::EjectionBlocked { reason, .. } => reason.clone(),
        Kind::ConfigRejected { error } => error.clone(),
        _ => String::new(),
    };
    [event.name.as_str(), &event.cluster, &event.endpoint, &more].join("\u{1f}")
}
