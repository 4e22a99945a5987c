//! A pod while its traffic goes through the proxy.

use super::facts::{Consent, Facts};
use super::intent::{Intent, News};
use super::state::{Failure, Pod, State};
use super::stay::Stay;
use crate::Moment;
use crate::refusal::Refusal;
use crate::settings::OnFlap;
use crate::sighting::{App, Condition};
use crate::standing::Mode;

/// For how long sightings that mean nothing keep a suspicion alive.
const UNCLEAR_FOR: Moment = Moment::from_secs(10);
/// How long the controller may take before its silence is told as a refusal.
const CONSENT_WITHIN: Moment = Moment::from_secs(5);
/// Rounds do not begin to the millisecond: the third second after the first sighting may come this much early.
const SLACK: Moment = Moment::from_millis(100);

impl Pod {
    pub(super) fn step_through(&mut self, facts: &Facts, condition: Condition, intents: &mut Vec<Intent>) {
        if self.cut_at.is_some_and(|at| at <= facts.now) {
            self.cut_at = None;
            intents.push(Intent::CutDirectFlows);
        }
        if !self.was_well {
            if !matches!(self.state, State::Refused(_)) {
                self.state = State::Unborn;
            }
            self.failure = None;
            if facts.kernel.probes {
                intents.push(Intent::ReturnProbes);
            }
            return;
        }
        self.note_failure(facts.now, condition, intents);
        let Some(failure) = self.failure else {
            self.state = State::Well;
            if facts.kernel.probes {
                intents.push(Intent::ReturnProbes);
            }
            return;
        };
        self.on_failure(facts, condition, failure, intents);
    }

    /// Keeps account of the failure that goes on, if one does.
    fn note_failure(&mut self, now: Moment, condition: Condition, intents: &mut Vec<Intent>) {
        let Some(failure) = &mut self.failure else {
            if condition.is_failure() {
                let began = Failure { since: now, last: now, why: condition, sightings: 1, told: false, asked: None };
                self.failure = Some(began);
            }
            return;
        };
        match condition {
            Condition::Dead | Condition::Hung | Condition::Frozen => {
                failure.sightings = failure.sightings.saturating_add(1);
                failure.last = now;
                failure.why = condition;
            }
            // It ended and starts again: that neither confirms the failure nor ends it.
            Condition::Starting | Condition::StandIn => failure.last = now,
            Condition::Unclear if now.saturating_sub(failure.last) < UNCLEAR_FOR => {}
            Condition::Unclear | Condition::Slow | Condition::Well => {
                if failure.told {
                    intents.push(Intent::Tell(News::Recovered(now.saturating_sub(failure.since))));
                }
                self.failure = None;
                return;
            }
        }
        if failure.sightings >= 2 && !failure.told {
            failure.told = true;
            intents.push(Intent::Tell(News::Suspected(failure.why)));
        }
    }

    fn on_failure(&mut self, facts: &Facts, condition: Condition, failure: Failure, intents: &mut Vec<Intent>) {
        let never = facts.standing.refusal();
        let believed = facts.node.refusal(facts.patience).is_none();
        // The application's probes go through the failing proxy: without this it is killed while the failure is
        // confirmed.
        if never.is_none() && believed && facts.kernel.captured && !facts.kernel.probes {
            intents.push(Intent::TakeProbes);
        } else if never.is_some() && facts.kernel.probes {
            intents.push(Intent::ReturnProbes);
        }
        if !self.is_confirmed(facts.now, condition, &failure) {
            if !matches!(self.state, State::Confirmed | State::Refused(_)) {
                self.state = State::Suspect;
            }
            return;
        }
        match self.allowed(facts) {
            Err(refusal) => {
                if let Some(failure) = &mut self.failure {
                    failure.asked = None;
                }
                self.refuse(refusal, failure.why, facts.standing.mode, intents);
            }
            Ok(()) => self.ask(facts, failure, intents),
        }
    }

    /// Whether the failure lasts long enough, and is there now.
    fn is_confirmed(&self, now: Moment, condition: Condition, failure: &Failure) -> bool {
        let lasted = now.saturating_sub(failure.since).saturating_add(SLACK);
        let enough = match condition {
            Condition::Dead => self.settings.confirm_dead,
            Condition::Hung | Condition::Frozen => self.settings.confirm_silent,
            Condition::Starting => self.settings.confirm_starting,
            Condition::Well | Condition::Slow | Condition::StandIn | Condition::Unclear => return false,
        };
        failure.sightings >= self.settings.confirm_sightings.max(2) && lasted >= enough
    }

    /// What the pod and its node say. The fleet is the controller's matter.
    fn allowed(&self, facts: &Facts) -> Result<(), Refusal> {
        if let Some(refusal) = facts.standing.refusal() {
            return Err(refusal);
        }
        if !facts.kernel.captured {
            return Err(Refusal::NotCaptured);
        }
        if let Some(refusal) = facts.node.refusal(facts.patience) {
            return Err(refusal);
        }
        match facts.sighting.app {
            App::Answers => {}
            App::Fails => return Err(Refusal::AppFails),
            App::Unknown => return Err(Refusal::AppUnknown),
        }
        let flaps = self.settings.on_flap == OnFlap::StayOff && self.switches.exhausted(facts.now, &self.settings);
        if flaps { Err(Refusal::Flapping) } else { Ok(()) }
    }

    /// The controller's word, while it is waited for or was no.
    pub(super) fn ask(&mut self, facts: &Facts, failure: Failure, intents: &mut Vec<Intent>) {
        let asked = failure.asked.unwrap_or(facts.now);
        if let Some(failure) = &mut self.failure {
            failure.asked = Some(asked);
        }
        if failure.asked.is_none() {
            // An answer that is there before the question is one to an earlier question.
            self.state = State::Confirmed;
            return;
        }
        match facts.consent {
            Consent::Granted => self.bypass(facts, failure, intents),
            Consent::Denied(refusal) => self.refuse(refusal, failure.why, facts.standing.mode, intents),
            Consent::NoController if facts.now.saturating_sub(asked) >= CONSENT_WITHIN => {
                self.refuse(Refusal::NoController, failure.why, facts.standing.mode, intents);
            }
            Consent::Waiting | Consent::NoController => {}
        }
    }

    /// The gate is to go on; that it is on, the kernel has to show.
    fn bypass(&mut self, facts: &Facts, failure: Failure, intents: &mut Vec<Intent>) {
        if !facts.kernel.probes {
            intents.push(Intent::TakeProbes);
        }
        intents.push(Intent::GateOn(facts.standing.directions, facts.now));
        self.switches.record(facts.now);
        self.cut_at = None;
        self.stay = Some(Stay::new(facts.now, failure.why, failure.since));
        self.failure = None;
        self.state = State::Confirmed;
    }

    fn refuse(&mut self, refusal: Refusal, why: Condition, mode: Mode, intents: &mut Vec<Intent>) {
        if self.state != State::Refused(refusal) && mode != Mode::Off {
            intents.push(Intent::Tell(News::Refused(refusal, why)));
        }
        self.state = State::Refused(refusal);
    }
}
