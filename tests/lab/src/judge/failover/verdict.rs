//! One cluster's failover events against its history.

use super::end;
use super::history::{History, Moment};
use super::start::{self, certain, window};
use super::tolerance::{END_TOLERANCE, START_TOLERANCE};
use crate::envoy::events::Event;
use crate::envoy::timestamp;

/// After another locality has received nearly everything for so long beyond a window, in milliseconds, that must have
/// been told.
const CHANGE_TOLERANCE: i64 = 1_500;

/// The result for one cluster.
#[derive(Clone, Debug, Default)]
pub(in crate::judge) struct Failovers {
    /// Failovers that were told.
    pub(in crate::judge) told: usize,
    /// What is wrong, a line each.
    pub(in crate::judge) wrong: Vec<String>,
}

/// A failover as it was told.
struct Spell<'a> {
    /// The start and the changes, each with its time.
    routes: Vec<(i64, &'a Event)>,
    end: Option<(i64, &'a Event)>,
}

impl Spell<'_> {
    fn started(&self) -> i64 {
        self.routes.first().map_or(0, |(at, _)| *at)
    }

    fn ended(&self) -> i64 {
        self.end.map_or(i64::MAX, |(at, _)| at)
    }
}

/// Compares the cluster's events, in order, with its history.
pub(in crate::judge) fn judge(history: &History, events: &[Event]) -> Failovers {
    let spells = spells(events);
    let mut wrong = Vec::new();
    for spell in &spells {
        for (at, event) in &spell.routes {
            wrong.extend(start::wrong_with(event, *at, history).iter().map(|why| format!("{why}: {event}")));
        }
        wrong.extend(unchanged(spell, history));
        match spell.end {
            Some((at, event)) => {
                let found = end::wrong_with(event, (spell.started(), at), history);
                wrong.extend(found.iter().map(|why| format!("{why}: {event}")));
            }
            None => wrong.extend(unended(spell, history)),
        }
    }
    for certain in certain(history) {
        let told = |spell: &Spell<'_>| spell.started() <= certain.by && spell.ended() > certain.from;
        if !spells.iter().any(told) {
            let late = spells.iter().map(Spell::started).find(|at| *at > certain.by).map(|at| at - certain.from);
            let late = late.map_or("none was told later".to_owned(), |late| format!("the next is {late} ms later"));
            wrong.push(format!("no failover at {}, {late}: {}", timestamp::of_millis(certain.from), certain.why));
        }
    }
    Failovers { told: spells.len(), wrong }
}

fn spells(events: &[Event]) -> Vec<Spell<'_>> {
    let mut spells: Vec<Spell<'_>> = Vec::new();
    for event in events {
        let at = timestamp::millis(event.text("ts")).unwrap_or(0);
        match (event.name(), spells.last_mut()) {
            ("failover_started", _) => spells.push(Spell { routes: vec![(at, event)], end: None }),
            ("failover_changed", Some(spell)) => spell.routes.push((at, event)),
            ("failover_ended", Some(spell)) => spell.end = Some((at, event)),
            // Whether they take turns is judged elsewhere.
            _ => {}
        }
    }
    spells
}

/// A failover that is over but was not told to be.
fn unended(spell: &Spell<'_>, history: &History) -> Option<String> {
    let last = end::ends(history, spell.started()).last().copied()?;
    (history.end() > last + END_TOLERANCE).then(|| format!("over at {} but still told", timestamp::of_millis(last)))
}

/// A destination that changed without a word.
fn unchanged(spell: &Spell<'_>, history: &History) -> Option<String> {
    let span = window() + CHANGE_TOLERANCE;
    for (index, (since, event)) in spell.routes.iter().enumerate() {
        let until = spell.routes.get(index + 1).map_or(spell.ended().min(history.end()), |(at, _)| *at);
        for at in (since + span..until).step_by(250) {
            let troubled = history.moments(at - span, at + START_TOLERANCE).iter().all(|m: &Moment| !m.is_whole());
            let (_, away) = history.attempts.counts(at - span, at);
            let to = |locality: &str| history.attempts.away_to(locality, at - span, at) as f64 / away as f64;
            if !troubled || away < 40 || to(event.text("to")) > 0.1 {
                continue;
            }
            let other = start::localities(&history.attempts, at - span, at).into_iter().find(|l| to(l) > 0.8);
            if let Some(other) = other {
                return Some(format!("{other} has got nearly all for {span} ms since {event}"));
            }
        }
    }
    None
}
