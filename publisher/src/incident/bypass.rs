//! What hot-switch did: the times in which a pod's traffic went past its proxy, and the failures for which it did not.
//!
//! JSON writes these types as they are, so the keys in their `serde` attributes are public.

use std::collections::{BTreeMap, BTreeSet};

use filter_core::time::Millis;
use serde::Serialize;

use super::logs::event::{Event, Kind, Name, Switch, Switched, Unprotected, millis};
use super::logs::input::Input;
use super::span::Span;
use super::written::time;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Bypasses {
    /// In order of time.
    pub(crate) done: Vec<Bypass>,
    /// In order of time; a reason once for each pod.
    pub(crate) refused: Vec<Refused>,
}

/// A time in which a pod's traffic went past its proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bypass {
    /// `namespace/name`.
    pub(crate) pod: String,
    /// `name.namespace`.
    pub(crate) workload: String,
    /// `proxy_dead` and the like; empty where the log does not have the beginning.
    pub(crate) why: String,
    /// `both`, `inbound`, `outbound`; empty where the log does not tell.
    pub(crate) directions: String,
    /// What did not hold meanwhile: `inbound_mtls` and the like.
    pub(crate) unprotected: Vec<String>,
    /// For how long the proxy had failed before; none where the log does not tell.
    pub(crate) detected_seconds: Option<f64>,
    /// Whether it lasted longer than it may.
    pub(crate) overdue: bool,
    /// Not over at the end of the log.
    pub(crate) open: bool,
    /// Began before the log does.
    pub(crate) began_earlier: bool,
    /// When.
    #[serde(flatten)]
    pub(crate) span: Span,
}

/// A proxy that failed and was not bypassed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// `namespace/name`.
    pub(crate) pod: String,
    /// `name.namespace`.
    pub(crate) workload: String,
    /// `budget` and the like.
    pub(crate) reason: String,
    /// `proxy_dead` and the like.
    pub(crate) why: String,
    /// When it was first refused.
    #[serde(serialize_with = "time")]
    pub(crate) at: Millis,
}

impl Bypasses {
    /// Those that an input tells of.
    pub(super) fn of(input: &Input) -> Self {
        let mut all = Self::default();
        let mut open: BTreeMap<Name, usize> = BTreeMap::new();
        let mut told = BTreeSet::new();
        for record in &input.records {
            if let Kind::HotSwitch(switch) = &record.event.kind {
                all.follow(&record.event, switch, &mut open, &mut told);
            }
        }
        let ends = input.ends.unwrap_or_default();
        for bypass in all.done.iter_mut().filter(|bypass| bypass.open) {
            bypass.span = Span::new(bypass.span.from, ends);
        }
        all.done.sort_by_key(|bypass| bypass.span.from);
        all
    }

    fn follow(
        &mut self,
        event: &Event,
        switch: &Switch,
        open: &mut BTreeMap<Name, usize>,
        told: &mut BTreeSet<(Name, Name)>,
    ) {
        let pod = &switch.pod;
        match &switch.what {
            Switched::Bypassed { why, detected_seconds, unprotected } => {
                // Its end is not in the log; it was over when the next one began.
                if let Some(before) = open.get(pod).and_then(|at| self.done.get_mut(*at)) {
                    before.end(event.at);
                }
                let bypass = Bypass {
                    why: why.to_string(),
                    detected_seconds: Some(*detected_seconds),
                    ..Bypass::beginning(event, switch, unprotected)
                };
                self.add(pod, bypass, open);
            }
            Switched::Adopted { unprotected } if !open.contains_key(pod) => {
                let bypass = Bypass { began_earlier: true, ..Bypass::beginning(event, switch, unprotected) };
                self.add(pod, bypass, open);
            }
            Switched::Restored { seconds } => match open.remove(pod).and_then(|at| self.done.get_mut(at)) {
                Some(bypass) => bypass.end(event.at),
                None => {
                    let span = Span::new(event.at.saturating_sub(millis(*seconds)), event.at);
                    let bypass = Bypass::beginning(event, switch, &Unprotected::default());
                    self.done.push(Bypass { span, open: false, began_earlier: true, ..bypass });
                }
            },
            Switched::Overdue { .. } => {
                if let Some(bypass) = open.get(pod).and_then(|at| self.done.get_mut(*at)) {
                    bypass.overdue = true;
                }
            }
            Switched::Refused { reason, why } if told.insert((pod.clone(), reason.clone())) => {
                self.refused.push(Refused {
                    pod: pod.to_string(),
                    workload: event.workload.to_string(),
                    reason: reason.to_string(),
                    why: why.to_string(),
                    at: event.at,
                });
            }
            _ => {}
        }
    }

    fn add(&mut self, pod: &Name, bypass: Bypass, open: &mut BTreeMap<Name, usize>) {
        open.insert(pod.clone(), self.done.len());
        self.done.push(bypass);
    }
}

impl Bypass {
    fn beginning(event: &Event, switch: &Switch, unprotected: &Unprotected) -> Self {
        Self {
            pod: switch.pod.to_string(),
            workload: event.workload.to_string(),
            why: String::new(),
            directions: unprotected.directions.to_string(),
            unprotected: unprotected.lost.iter().map(ToString::to_string).collect(),
            detected_seconds: None,
            overdue: false,
            open: true,
            began_earlier: false,
            span: Span::at(event.at),
        }
    }

    fn end(&mut self, at: Millis) {
        self.span = Span::new(self.span.from, at);
        self.open = false;
    }
}
