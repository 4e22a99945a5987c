//! What was found in a record, and whose it is.

use std::collections::HashMap;

use filter_core::time::Millis;

use super::event::Event;
use super::labels::Labels;
use super::remark::Remark;
use super::source::Source;

/// What was found.
#[derive(Debug)]
pub(crate) enum What {
    /// An event, and its JSON.
    Event(Box<Event>, String),
    /// An event without a time, as JSON: what it stands in may have one.
    Timeless(String),
    /// An object that names an event, but has values of wrong types.
    Malformed,
    /// The beginning of an event, and not the whole of one.
    Cut,
    /// What would be an event if it were written as JSON.
    LookAlike,
    /// A line that is no event and bears on what events mean.
    Remark(Remark),
}

/// What was found, and whose it is.
#[derive(Debug)]
pub(crate) struct Found {
    /// What it is.
    pub(crate) what: What,
    pub(super) labels: Labels,
    /// Whether the event has the time of the record around it.
    pub(super) time_assumed: bool,
}

impl Found {
    pub(super) fn of(what: What) -> Self {
        Self { what, labels: Labels::default(), time_assumed: false }
    }

    /// When the record around it was written.
    pub(crate) fn logged_at(&self) -> Option<Millis> {
        self.labels.at
    }

    /// Whose it is, where the record tells; of a machine, whichever process wrote it.
    pub(crate) fn source(&self) -> Option<Source> {
        self.source_by_process().map(Source::of_any_process)
    }

    /// Whose it is, where the record tells, and which process it was.
    pub(super) fn source_by_process(&self) -> Option<Source> {
        Source::of(&self.labels)
    }
}

/// Leaves one of each event that a record tells twice, as text and taken apart: the one that says more.
pub(super) fn leave_one(found: &mut Vec<Found>, before: usize) {
    let mut all: HashMap<String, usize> = HashMap::new();
    let new = found.split_off(before.min(found.len()));
    let any = new.iter().any(|one| matches!(one.what, What::Event(..)));
    for one in new {
        let What::Event(event, json) = &one.what else {
            if !(any && matches!(one.what, What::Malformed | What::Timeless(_) | What::LookAlike)) {
                found.push(one);
            }
            continue;
        };
        let known = *all.entry(format!("{} {}", event.at, event.subject())).or_insert(found.len());
        match found.get_mut(known) {
            Some(Found { what: What::Event(_, other), labels, .. })
                if labels.name() == one.labels.name() || labels.name().is_empty() || one.labels.name().is_empty() =>
            {
                let mut names = one.labels.clone();
                names.fill(labels);
                labels.fill(&names);
                if json.len() > other.len() {
                    let labels = labels.clone();
                    found[known] = Found { labels, ..one };
                }
            }
            _ => found.push(one),
        }
    }
}
