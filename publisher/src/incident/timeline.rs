//! What happened, in order, with what several proxies report of the same thing put into one moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use filter_core::time::Millis;

use super::logs::event::{Event, Kind, Received};
use super::logs::input::{Input, ProxyIndex};
use super::model::Moment;
use super::restarts::Restart;

/// What several proxies report within this many milliseconds is one thing. Each needs traffic of its own to meet a
/// fault, and returns are seen on ticks of Envoy's interval, which is 10 s by default.
const SAME_MOMENT_MS: Millis = 10_000;

/// The moments of an input; `names` are the clusters' short names.
pub(super) fn of(input: &Input, names: &BTreeMap<String, String>, restarts: &[Restart]) -> Vec<Moment> {
    let mut moments: Vec<(Moment, BTreeSet<ProxyIndex>)> = Vec::new();
    let mut latest: HashMap<String, usize> = HashMap::new();
    for record in &input.records {
        let event = &record.event;
        let subject = event.subject();
        let same = latest.get(&subject).and_then(|index| moments.get_mut(*index));
        if let Some((moment, proxies)) = same
            && event.at.saturating_sub(moment.event.at) <= SAME_MOMENT_MS
            && proxies.insert(record.proxy)
        {
            moment.until = event.at;
            add(&mut moment.event, event);
            continue;
        }
        latest.insert(subject, moments.len());
        let moment = Moment {
            until: event.at,
            service: match &event.kind {
                Kind::HotSwitch(_) => event.workload.to_string(),
                _ => names.get(&*event.cluster).cloned().unwrap_or_else(|| event.cluster.to_string()),
            },
            event: Event::clone(event),
            proxies: Vec::new(),
        };
        moments.push((moment, BTreeSet::from([record.proxy])));
    }
    let again = |restart: &Restart| Moment {
        until: restart.at,
        service: String::new(),
        event: restart.event(),
        proxies: input.name(restart.proxy).cloned().into_iter().collect(),
    };
    let named = |(moment, proxies): (Moment, BTreeSet<ProxyIndex>)| Moment {
        proxies: proxies.iter().filter_map(|proxy| input.name(*proxy).cloned()).collect(),
        ..moment
    };
    let mut moments: Vec<Moment> = moments.into_iter().map(named).chain(restarts.iter().map(again)).collect();
    moments.sort_by_key(|moment| moment.event.at);
    moments
}

/// Adds another proxy's requests to what the first ones reported; the rest is the same, or the first one's.
fn add(reported: &mut Event, another: &Event) {
    if let Kind::FailoverEnded { seconds, requests_away, errors_away, destinations, .. } = &mut reported.kind
        && let Kind::FailoverEnded {
            seconds: longer,
            requests_away: more,
            errors_away: worse,
            destinations: others,
            ..
        } = &another.kind
    {
        Received::add(destinations, others);
        *seconds = seconds.max(*longer);
        *requests_away = requests_away.saturating_add(*more);
        *errors_away = errors_away.saturating_add(*worse);
    }
}
