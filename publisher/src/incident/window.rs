//! The part of an input that a report is wanted of. What was going on when it begins is told too: from the events
//! before it that began that, or from the events after it that end that and say how long it was.

use std::collections::HashMap;

use filter_core::time::Millis;

use super::away::{self, TOLD_AFTER_MS};
use super::logs::event::{Event, Kind, Name, millis};
use super::logs::input::{Input, ProxyIndex, Record};
use super::restarts::{self, Restart, Step, What};

/// A streak leads to an ejection within this time.
const STREAK_BEFORE_EJECTION_MS: Millis = 2_000;

/// What the whole input tells of a part of it.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Its beginning, if the user chose it.
    pub(crate) since: Option<Millis>,
    /// Its end, if the user chose it.
    pub(crate) until: Option<Millis>,
    /// The earlier events that began what was going on at its beginning, in order of time.
    pub(super) before: Vec<Record>,
    /// The later events that end what the input has no beginning of, and that was going on in it.
    pub(super) after: Vec<Record>,
    /// The proxies that began anew until its end, in order of time.
    pub(super) restarts: Vec<Restart>,
    /// How long after the last request away the end of a failover is told, where the input tells that.
    pub(super) told_after: Option<Millis>,
}

impl Window {
    /// Leaves in the input what happened in the window.
    pub(crate) fn narrow(input: &mut Input, since: Option<Millis>, until: Option<Millis>) -> Self {
        let mut restarts = restarts::of(input);
        let told_after = away::told_after(input);
        let going_on = GoingOn::of(input, &restarts, since, until, told_after.unwrap_or(TOLD_AFTER_MS));
        let taken = |wanted: Vec<usize>| wanted.into_iter().filter_map(|at| input.records.get(at).cloned()).collect();
        let (before, after) = (taken(going_on.before), taken(going_on.after));
        restarts.retain(|restart| until.is_none_or(|until| restart.at <= until));
        input.records.retain(|record| {
            let at = record.event.at;
            since.is_none_or(|since| at >= since) && until.is_none_or(|until| at <= until)
        });
        if let Some(until) = until {
            input.ends = input.ends.map(|ends| ends.min(until));
        }
        Self { since, until, before, after, restarts, told_after }
    }

    /// Events that are told of beside those of the window: what they began or end is part of it.
    pub(super) fn beside(&self) -> impl Iterator<Item = &Record> {
        self.before.iter().chain(&self.after)
    }

    /// The proxies that began anew in it.
    pub(super) fn restarts_within(&self) -> Vec<Restart> {
        let within = |restart: &&Restart| self.since.is_none_or(|since| restart.at >= since);
        self.restarts.iter().filter(within).copied().collect()
    }
}

/// Which records of an input are about what goes on at the window's beginning, or through all of it.
struct GoingOn {
    before: Vec<usize>,
    after: Vec<usize>,
}

/// Something at one proxy that begins and ends.
type Thing<'e> = (ProxyIndex, &'e Name, &'e Name, What);

impl GoingOn {
    fn of(
        input: &Input,
        restarts: &[Restart],
        since: Option<Millis>,
        until: Option<Millis>,
        told_after: Millis,
    ) -> Self {
        let since = since.unwrap_or(0);
        let until = until.unwrap_or(Millis::MAX);
        // By what is open: the records that began it, and led it on.
        let mut open: HashMap<Thing<'_>, Vec<usize>> = HashMap::new();
        let mut streaks: HashMap<(ProxyIndex, &Name, &Name), usize> = HashMap::new();
        let mut next = restarts.iter().peekable();
        let mut before: Option<Vec<usize>> = None;
        let mut after = Vec::new();
        let kept = |open: &HashMap<Thing<'_>, Vec<usize>>| open.values().flatten().copied().collect();
        for (index, record) in input.records.iter().enumerate() {
            let (proxy, event) = (record.proxy, &record.event);
            if event.at >= since && before.is_none() {
                while let Some(restart) = next.next_if(|restart| restart.at < since) {
                    open.retain(|(of, ..), _| *of != restart.proxy);
                }
                before = Some(kept(&open));
            }
            while let Some(restart) = next.next_if(|restart| restart.at <= event.at) {
                open.retain(|(of, ..), _| *of != restart.proxy);
            }
            let place = (proxy, &event.cluster, &event.endpoint);
            if let Kind::ErrorStreak { .. } = event.kind {
                streaks.insert(place, index);
            }
            let Some((what, step)) = restarts::step(event) else { continue };
            let thing = (proxy, &event.cluster, &event.endpoint, what);
            match step {
                // A second request that finds nothing healthy begins nothing.
                Step::Begins if what == What::Outage => open.entry(thing).or_default().push(index),
                Step::Begins => {
                    let led = streaks.remove(&place).filter(|led| {
                        let of = input.records.get(*led).map_or(0, |record| record.event.at);
                        what == What::Ejection && event.at.saturating_sub(of) <= STREAK_BEFORE_EJECTION_MS
                    });
                    open.insert(thing, led.into_iter().chain([index]).collect());
                }
                Step::GoesOn => open.entry(thing).or_default().push(index),
                Step::Ends => {
                    let has_no_beginning = open.remove(&thing).is_none();
                    if has_no_beginning && event.at > until && began(event, told_after) < until {
                        after.push(index);
                    }
                }
            }
        }
        let mut before = before.unwrap_or_else(|| kept(&open));
        before.sort_unstable();
        Self { before, after }
    }
}

/// When what an event ends began, by the event itself.
fn began(event: &Event, told_after: Millis) -> Millis {
    let (last, seconds) = match &event.kind {
        Kind::FailoverEnded { seconds, because, .. } => (away::last_away(event.at, because, told_after), *seconds),
        Kind::EndpointReturned { ejected_seconds: seconds }
        | Kind::EndpointRemoved { ejected_seconds: seconds }
        | Kind::UpstreamRecovered { seconds } => (event.at, *seconds),
        _ => (event.at, 0.0),
    };
    last.saturating_sub(millis(seconds))
}
