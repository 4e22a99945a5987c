//! A pod's thread: a round a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use hot_switch_core::Moment;
use hot_switch_core::pod::{Consent, Facts, Intent, Kernel, Pod as Decisions, State};

use super::consent::Trouble;
use super::hands::Hands;
use super::shared::Shared;
use crate::pods::Pod;
use crate::probe::round;
use crate::told::event::{self, Subject};
use crate::told::notice;

/// In calm, the rules are looked at every so many rounds; a person may have changed them.
const LOOK_AT_RULES: u32 = 30;
/// What cannot be done is said again after so many rounds.
const SAY_AGAIN: u32 = 60;
/// How long a thread that waits sleeps at a time.
const NAP: Duration = Duration::from_millis(20);

/// Looks after one pod until it is told to stop, or until the pod's network namespace is another one.
pub(super) fn run(pod: &Mutex<Pod>, stop: &AtomicBool, shared: &Shared) {
    let current = || pod.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let own = current();
    let mut round = Round {
        shared,
        hands: Hands::default(),
        decisions: Decisions::new(shared.options.settings.clone()),
        number: 0,
        last: None,
        complained: None,
    };
    let netns = match own.place.open(&shared.options.proc).and_then(|netns| netns.enter().map(|()| netns)) {
        Ok(netns) => netns,
        Err(error) => {
            // The thread ends, and another one tries after a while.
            round.complain(&own, &error);
            wait(stop, Instant::now() + shared.options.interval * 5);
            return;
        }
    };
    let mut planned = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let pod = current();
        // A new sandbox has a new namespace, in which nothing of ours is.
        if round.number.is_multiple_of(5)
            && pod.place.open(&shared.options.proc).is_ok_and(|now| now.inode() != netns.inode())
        {
            return;
        }
        let late = planned.elapsed();
        if let Err(error) = round.go(&pod, late) {
            round.complain(&pod, &error);
        }
        let interval = shared.options.interval;
        planned += interval;
        if planned < Instant::now() {
            // Rounds that were missed are not made up for.
            planned = Instant::now();
        }
        while Instant::now() < planned && !stop.load(Ordering::Relaxed) {
            // A controller's word may come between two rounds.
            if round.decisions.state() == State::Confirmed
                && let Err(error) = round.hear_late(&pod)
            {
                round.complain(&pod, &error);
            }
            wait(stop, planned.min(Instant::now() + NAP * 2));
        }
    }
}

fn wait(stop: &AtomicBool, until: Instant) {
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(NAP));
    }
}

struct Round<'a> {
    shared: &'a Shared,
    hands: Hands,
    decisions: Decisions,
    number: u32,
    /// The facts of the last round.
    last: Option<Facts>,
    /// What could not be done, and in which round that was said.
    complained: Option<(String, u32)>,
}

impl Round<'_> {
    fn go(&mut self, pod: &Pod, late: Duration) -> Result<()> {
        self.number = self.number.wrapping_add(1);
        let now = self.shared.clock.now();
        let sighting = round::look(&pod.target, self.shared.options.patience);
        let was_bypassed = self.decisions.bypassed_since();
        let calm = matches!(self.decisions.state(), State::Well | State::Unborn) && !sighting.condition().is_failure();
        let fresh = !calm || self.number.is_multiple_of(LOOK_AT_RULES);
        let kernel = self.hands.kernel(pod.standing.directions, fresh)?;
        self.hands.answer(pod, &kernel)?;
        let facts = Facts {
            now,
            sighting,
            kernel,
            standing: pod.standing,
            node: self.shared.node(late),
            patience: self.shared.options.own_delay,
            consent: self.consent(pod),
        };
        self.last = Some(facts);
        let intents = self.decisions.step(&facts);
        let done = self.apply(pod, intents).and_then(|()| self.hear(pod, facts));
        self.account(pod, was_bypassed);
        done
    }

    /// The word on what is being asked for; nothing is asked for otherwise.
    fn consent(&self, pod: &Pod) -> Consent {
        let mut consent = self.shared.consent();
        if self.decisions.bypassed_since().is_some() {
            consent.adopt(&pod.name, &pod.workload);
        }
        consent.word(self.shared.clock.now(), &pod.name, &pod.workload, self.decisions.wish())
    }

    /// What was asked for in this round is answered in this round.
    fn hear(&mut self, pod: &Pod, facts: Facts) -> Result<()> {
        if self.decisions.state() != State::Confirmed || self.decisions.wish().is_none() {
            return Ok(());
        }
        self.stands(pod);
        let consent = self.consent(pod);
        let now = self.shared.clock.now();
        let kernel = self.hands.kernel(pod.standing.directions, false)?;
        let intents = self.decisions.hear(&Facts { now, kernel, consent, ..facts });
        self.apply(pod, intents)
    }

    /// The word on what was asked for in an earlier round.
    fn hear_late(&mut self, pod: &Pod) -> Result<()> {
        match self.last {
            Some(facts) => self.hear(pod, facts),
            None => Ok(()),
        }
    }

    /// Does what is wanted, in its order; what failed ends it, and is wanted again in the next round.
    fn apply(&mut self, pod: &Pod, intents: Vec<Intent>) -> Result<()> {
        let mut acted = false;
        for intent in &intents {
            if let Intent::Tell(news) = intent {
                event::write(&event::line(self.shared.clock.date(), self.subject(pod), news));
                self.shared.say(pod, notice::of(news, pod.standing.directions));
                self.shared.metrics().tell(news);
                continue;
            }
            acted = true;
            self.hands.act(pod, intent, self.shared)?;
        }
        if !acted {
            return Ok(());
        }
        let kernel: Kernel = self.hands.kernel(pod.standing.directions, true)?;
        let more = self.decisions.settle(self.shared.clock.now(), &kernel);
        self.apply(pod, more)
    }

    fn subject<'a>(&'a self, pod: &'a Pod) -> Subject<'a> {
        Subject {
            pod: &pod.name,
            workload: &pod.workload,
            node: &self.shared.options.node,
            directions: pod.standing.directions,
            protection: pod.standing.protection,
        }
    }

    fn stands(&self, pod: &Pod) {
        let trouble = if self.decisions.is_failing() {
            Trouble::Failing
        } else if self.decisions.bypassed_since().is_some() {
            Trouble::Bypassed
        } else {
            Trouble::None
        };
        self.shared.stands(&pod.name, self.decisions.state(), trouble);
    }

    fn account(&self, pod: &Pod, was_bypassed: Option<Moment>) {
        self.stands(pod);
        if was_bypassed.is_some() {
            self.shared.metrics().bypassed_for(self.shared.options.interval);
        }
    }

    fn complain(&mut self, pod: &Pod, error: &anyhow::Error) {
        let text = format!("{error:#}");
        let said = self
            .complained
            .as_ref()
            .is_some_and(|(said, at)| *said == text && self.number.wrapping_sub(*at) < SAY_AGAIN);
        if !said {
            event::write(&event::failure(self.shared.clock.date(), self.subject(pod), error));
            self.shared.say(pod, notice::of_failure(error));
            self.complained = Some((text, self.number));
        }
        self.shared.metrics().failed();
    }
}
