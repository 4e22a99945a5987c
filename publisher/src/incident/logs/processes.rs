//! Which processes on one machine are one proxy, where the journal or syslog tell lines apart by machine, program and
//! process alone: those that wrote one after the other are one that was started anew; those that wrote at the same time
//! are several.

use std::collections::BTreeMap;

use filter_core::time::Millis;

use super::named::Key;
use super::proxies::{Log, Logs};
use super::source::Source;

/// What processes were taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processes {
    /// That wrote one after the other, and the machines that they were on.
    pub(crate) in_turn: u64,
    pub(crate) in_turn_on: u64,
    /// That wrote at the same time, and the machines that they were on.
    pub(crate) at_once: u64,
    pub(crate) at_once_on: u64,
}

/// Puts the logs together of processes that are one proxy. Tells of what was assumed.
pub(super) fn merge(logs: &mut Logs) -> Processes {
    let mut machines: BTreeMap<Source, Vec<Source>> = BTreeMap::new();
    for key in logs.keys() {
        if let Key::Pod(source) = key
            && !source.process.is_empty()
        {
            machines.entry(source.clone().of_any_process()).or_default().push(source.clone());
        }
    }
    let mut told = Processes::default();
    for (machine, processes) in machines {
        let spans: Vec<(Millis, Millis)> =
            processes.iter().filter_map(|process| span(logs.get(&Key::Pod(process.clone()))?)).collect();
        let count = spans.len() as u64;
        if are_in_turn(spans) {
            for process in processes {
                let more = logs.remove(&Key::Pod(process)).unwrap_or_default();
                logs.entry(Key::Pod(machine.clone())).or_default().add(more);
            }
            told.in_turn += if count > 1 { count } else { 0 };
            told.in_turn_on += u64::from(count > 1);
        } else {
            told.at_once += count;
            told.at_once_on += 1;
            // Lines without an event are told by machine: it is no further proxy.
            let rest = logs.remove(&Key::Pod(machine));
            if let (Some(rest), Some(first)) = (rest, processes.first()) {
                logs.entry(Key::Pod(first.clone())).or_default().add(rest);
            }
        }
    }
    told
}

/// From when to when it has events.
fn span(log: &Log) -> Option<(Millis, Millis)> {
    let times = || log.events.iter().map(|event| event.at);
    Some((times().min()?, times().max()?))
}

/// Whether each began when the one before had ended.
fn are_in_turn(mut spans: Vec<(Millis, Millis)>) -> bool {
    spans.sort_unstable();
    spans.windows(2).all(|pair| matches!(pair, [(_, end), (begin, _)] if end <= begin))
}
