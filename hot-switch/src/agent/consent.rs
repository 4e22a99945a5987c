//! Who consents to a bypass: the controller, by the node's Lease; or, on a node without Kubernetes, the limits
//! themselves, applied to the node's own pods.

use std::collections::BTreeMap;

use hot_switch_core::Moment;
use hot_switch_core::fleet::{Ask, Fleet, Limits};
use hot_switch_core::pod::{Consent, Image, Wish};
use hot_switch_core::refusal::Refusal;

use crate::cluster::words::{self, Answers, Asks};

/// What is wrong with a pod after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// Its proxy fails, and nothing has been done about it.
    Failing,
    /// It is bypassed.
    Bypassed,
}

/// Who consents.
#[derive(Debug)]
pub(super) enum Authority {
    /// The limits, for the node's own pods.
    Limits(LocalConsent),
    /// The controller.
    Controller(Board),
}

impl Authority {
    /// These are the pods, with their workloads.
    pub(super) fn sizes(&mut self, pods: impl Iterator<Item = (String, String)>) {
        if let Self::Limits(local) = self {
            local.workloads = pods.collect();
        }
    }

    /// How a pod stands.
    pub(super) fn stands(&mut self, now: Moment, pod: &str, trouble: Trouble) {
        match self {
            Self::Limits(local) => local.stands(now, pod, trouble != Trouble::None),
            Self::Controller(board) => drop(board.failing.insert(pod.to_owned(), trouble == Trouble::Failing)),
        }
    }

    /// A pod that was found bypassed.
    pub(super) fn adopt(&mut self, pod: &str, workload: &str) {
        if let Self::Limits(local) = self {
            local.fleet.adopt(pod, workload);
        }
    }

    /// The word on a pod's wish, or the end of it.
    pub(super) fn word(&mut self, now: Moment, pod: &str, workload: &str, wish: Option<Wish>) -> Consent {
        match (self, wish) {
            (Self::Limits(local), Some(_)) => local.ask(now, pod, workload),
            (Self::Limits(local), None) => {
                local.fleet.release(pod);
                Consent::Waiting
            }
            (Self::Controller(board), wish) => board.word(pod, wish),
        }
    }

    pub(super) fn forget(&mut self, pod: &str) {
        match self {
            Self::Limits(local) => {
                local.fleet.release(pod);
                local.down.remove(pod);
            }
            Self::Controller(board) => {
                board.wishes.remove(pod);
                board.failing.remove(pod);
            }
        }
    }
}

/// What is wanted of the controller, and what it said.
#[derive(Debug, Default)]
pub(super) struct Board {
    wishes: BTreeMap<String, Wish>,
    failing: BTreeMap<String, bool>,
    /// By pod: the moment of the wish, and the reason if it is refused. `None`: nobody can be asked.
    answers: Option<BTreeMap<String, (u64, Option<Refusal>)>>,
}

impl Board {
    fn word(&mut self, pod: &str, wish: Option<Wish>) -> Consent {
        let Some(wish) = wish else {
            self.wishes.remove(pod);
            return Consent::Waiting;
        };
        self.wishes.insert(pod.to_owned(), wish);
        let answer = self.answers.as_ref().and_then(|answers| answers.get(pod));
        match answer.filter(|(since, _)| *since == milliseconds(wish.since)) {
            Some((_, None)) => Consent::Granted,
            Some((_, Some(refusal))) => Consent::Denied(*refusal),
            None => Consent::NoController,
        }
    }

    /// What the node's Lease is to say.
    pub(super) fn asks(&self) -> Asks {
        let wish = |(pod, wish): (&String, &Wish)| words::Wish {
            pod: pod.clone(),
            since: milliseconds(wish.since),
            why: wish.why.word().to_owned(),
            stand_in: wish.image == Image::StandIn,
        };
        let failing = self.failing.iter().filter(|(_, fails)| **fails).map(|(pod, _)| pod.clone());
        Asks {
            wishes: self.wishes.iter().take(words::MOST).map(wish).collect(),
            failing: failing.take(words::MOST).collect(),
        }
    }

    /// What the controller said; `None`: the API server cannot be asked.
    pub(super) fn hear(&mut self, answers: Option<Answers>) {
        let read = |answers: Answers| {
            let entry = |answer: words::Answer| {
                // A reason that is not known is a refusal all the same.
                let refusal = answer.refused.map(|word| Refusal::of_word(&word).unwrap_or(Refusal::NoController));
                (answer.pod, (answer.since, refusal))
            };
            answers.answers.into_iter().map(entry).collect()
        };
        self.answers = answers.map(read);
    }

    /// Whether a wish has no answer yet.
    pub(super) fn waits(&self) -> bool {
        self.wishes.iter().any(|(pod, wish)| {
            let answer = self.answers.as_ref().and_then(|answers| answers.get(pod));
            answer.is_none_or(|(since, _)| *since != milliseconds(wish.since))
        })
    }
}

fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}

/// The limits, and what is known of the pods.
#[derive(Debug)]
pub(super) struct LocalConsent {
    fleet: Fleet,
    workloads: BTreeMap<String, String>,
    down: BTreeMap<String, bool>,
}

impl LocalConsent {
    pub(super) fn new(limits: Limits) -> Self {
        Self { fleet: Fleet::new(limits), workloads: BTreeMap::new(), down: BTreeMap::new() }
    }

    fn stands(&mut self, now: Moment, pod: &str, down: bool) {
        if down && !self.fleet.is_granted(pod) {
            self.fleet.fails(now, pod);
        }
        self.down.insert(pod.to_owned(), down);
    }

    fn ask(&mut self, now: Moment, pod: &str, workload: &str) -> Consent {
        let of = || self.workloads.iter().filter(|(_, of)| *of == workload).map(|(pod, _)| pod);
        let ask = Ask {
            pod,
            workload,
            workload_pods: of().count(),
            workload_down: of().filter(|pod| self.down.get(*pod).copied().unwrap_or(false)).count(),
            proxies: self.workloads.len(),
        };
        match self.fleet.ask(now, &ask) {
            Ok(()) => Consent::Granted,
            Err(refusal) => Consent::Denied(refusal),
        }
    }
}
