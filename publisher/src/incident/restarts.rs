//! When proxies began anew: a new process knows of nothing that the old one saw, and tells the end of none of it.
//!
//! The filter says that it watches when it starts, and again when it gets another configuration. It was a new process
//! if the old one said that it ends, or if something begins again that had not ended, or is counted anew.

use std::collections::{BTreeMap, HashMap};

use filter_core::time::Millis;

use super::logs::event::{Event, Kind, Name};
use super::logs::input::{Input, ProxyIndex};
use super::logs::turns::{Turn, TurnKind};

/// A proxy that began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restart {
    /// Which proxy.
    pub(super) proxy: ProxyIndex,
    /// When.
    pub(super) at: Millis,
    /// Until when it may have lived before: when it said that it ends, else when it began anew. Its last event is no
    /// end: a proxy is silent while nothing changes.
    pub(super) lived_until: Millis,
    /// Whether it said then that it ends.
    pub(super) was_told_to_stop: bool,
}

impl Restart {
    /// The same as an event.
    pub(super) fn event(&self) -> Event {
        Event::beside(self.at, "proxy_started", Kind::ProxyStarted)
    }
}

/// The restarts in an input, in order of time.
pub(super) fn of(input: &Input) -> Vec<Restart> {
    let mut turns: BTreeMap<ProxyIndex, Vec<Turn>> = BTreeMap::new();
    for (proxy, turn) in &input.turns {
        turns.entry(*proxy).or_default().push(*turn);
    }
    let mut events: HashMap<ProxyIndex, Vec<&Event>> = HashMap::new();
    for record in input.records.iter().filter(|record| turns.contains_key(&record.proxy)) {
        events.entry(record.proxy).or_default().push(&record.event);
    }
    let mut restarts = Vec::new();
    for (proxy, turns) in &turns {
        let events = events.get(proxy).map(Vec::as_slice).unwrap_or_default();
        let mut stopped = None;
        for turn in turns {
            match turn.kind {
                TurnKind::Stopped => stopped = Some(turn.at),
                TurnKind::Started => restarts.extend(restart(*proxy, events, turn.at, stopped.take())),
            }
        }
    }
    restarts.sort_by_key(|restart| restart.at);
    restarts
}

/// Whether a proxy that says at some time that it watches is a new process; only one of which something is known.
fn restart(proxy: ProxyIndex, events: &[&Event], at: Millis, stopped: Option<Millis>) -> Option<Restart> {
    let (before, after) = events.split_at(events.partition_point(|event| event.at < at));
    before.last()?;
    (stopped.is_some() || began_anew(before, after)).then_some(Restart {
        proxy,
        at,
        lived_until: stopped.unwrap_or(at),
        was_told_to_stop: stopped.is_some(),
    })
}

/// Something that begins and ends: the cluster, the endpoint, and what it is.
type Thing<'e> = (&'e Name, &'e Name, What);

/// What begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Ejection,
    Failover,
    Outage,
}

/// What an event means to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begins,
    GoesOn,
    Ends,
}

/// The same with what it is about.
fn step_of(event: &Event) -> Option<(Thing<'_>, Step)> {
    let (what, step) = step(event)?;
    Some(((&event.cluster, &event.endpoint, what), step))
}

fn began_anew(before: &[&Event], after: &[&Event]) -> bool {
    let mut open: HashMap<Thing<'_>, Step> = HashMap::new();
    for (thing, step) in before.iter().filter_map(|event| step_of(event)) {
        match step {
            Step::Ends => open.remove(&thing),
            step => open.insert(thing, step),
        };
    }
    let next = after.iter().filter_map(|event| step_of(event)).find(|(thing, _)| open.contains_key(thing));
    match next {
        Some((_, step)) => step == Step::Begins,
        None if open.is_empty() => is_counted_anew(before, after),
        None => true,
    }
}

/// What an event begins or ends.
pub(super) fn step(event: &Event) -> Option<(What, Step)> {
    let (what, step) = match event.kind {
        Kind::EndpointEjected { .. } => (What::Ejection, Step::Begins),
        Kind::EndpointReturned { .. } | Kind::EndpointRemoved { .. } => (What::Ejection, Step::Ends),
        Kind::FailoverStarted(_) => (What::Failover, Step::Begins),
        Kind::FailoverChanged(_) => (What::Failover, Step::GoesOn),
        Kind::FailoverEnded { .. } => (What::Failover, Step::Ends),
        Kind::NoHealthyUpstream { .. } => (What::Outage, Step::Begins),
        Kind::UpstreamRecovered { .. } => (What::Outage, Step::Ends),
        _ => return None,
    };
    Some((what, step))
}

/// Whether an endpoint's ejections are counted from the beginning again.
fn is_counted_anew(before: &[&Event], after: &[&Event]) -> bool {
    let number = |event: &&&Event| match event.kind {
        Kind::EndpointEjected { ejection, .. } => Some(ejection),
        _ => None,
    };
    let first = after.iter().find(|event| number(event).is_some());
    first.is_some_and(|first| {
        let same = |event: &&&Event| event.endpoint == first.endpoint && event.cluster == first.cluster;
        before.iter().filter(same).filter_map(|event| number(&event)).max() >= number(&first)
    })
}
