//! A pod while its traffic goes through the proxy.

use super::facts::{Consent, Facts};
use super::intent::{Intent, News};
use super::state::{Failure, Memory, State};
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

pub(super) fn step_through(memory: &mut Memory, facts: &Facts, condition: Condition, intents: &mut Vec<Intent>) {
    if memory.cut_at.is_some_and(|at| at <= facts.now) {
        memory.cut_at = None;
        intents.push(Intent::CutDirectFlows);
    }
    if !memory.was_well {
        if !matches!(memory.state, State::Refused(_)) {
            memory.state = State::Unborn;
        }
        memory.failure = None;
        if facts.kernel.answers() {
            intents.push(Intent::ReturnProbes);
        }
        return;
    }
    note_failure(memory, facts.now, condition, intents);
    let Some(failure) = memory.failure else {
        memory.state = State::Well;
        if facts.kernel.answers() {
            intents.push(Intent::ReturnProbes);
        }
        return;
    };
    on_failure(memory, facts, condition, failure, intents);
}

/// Keeps account of the failure that goes on, if one does.
fn note_failure(memory: &mut Memory, now: Moment, condition: Condition, intents: &mut Vec<Intent>) {
    let Some(failure) = &mut memory.failure else {
        if condition.is_failure() {
            let began = Failure { since: now, last: now, why: condition, sightings: 1, told: false, asked: None };
            memory.failure = Some(began);
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
            memory.failure = None;
            return;
        }
    }
    if failure.sightings >= 2 && !failure.told {
        failure.told = true;
        intents.push(Intent::Tell(News::Suspected(failure.why)));
    }
}

fn on_failure(memory: &mut Memory, facts: &Facts, condition: Condition, failure: Failure, intents: &mut Vec<Intent>) {
    let never = facts.standing.refusal();
    let believed = facts.node.refusal(facts.patience).is_none();
    // The application's probes go through the failing proxy: without this it is killed while the failure is
    // confirmed. Where nothing will be done about the failure, kubelet has to see it.
    let is_left_alone = never.is_some() || matches!(memory.state, State::Refused(_));
    if is_left_alone && facts.kernel.answers() {
        intents.push(Intent::ReturnProbes);
    } else if !is_left_alone && believed && facts.kernel.captured && !facts.kernel.probes {
        intents.push(Intent::TakeProbes);
    }
    if !is_confirmed(memory, facts.now, condition, &failure) {
        if !matches!(memory.state, State::Confirmed | State::Refused(_)) {
            memory.state = State::Suspect;
        }
        return;
    }
    match allowed(memory, facts) {
        Err(refusal) => {
            if let Some(failure) = &mut memory.failure {
                failure.asked = None;
            }
            refuse(memory, facts, refusal, failure.why, intents);
        }
        Ok(()) => ask(memory, facts, failure, intents),
    }
}

/// Whether the failure lasts long enough, and is there now.
fn is_confirmed(memory: &Memory, now: Moment, condition: Condition, failure: &Failure) -> bool {
    let lasted = now.saturating_sub(failure.since).saturating_add(SLACK);
    let enough = match condition {
        Condition::Dead => memory.settings.confirm_dead,
        Condition::Hung | Condition::Frozen => memory.settings.confirm_silent,
        Condition::Starting => memory.settings.confirm_starting,
        Condition::Well | Condition::Slow | Condition::StandIn | Condition::Unclear => return false,
    };
    failure.sightings >= memory.settings.confirm_sightings.max(2) && lasted >= enough
}

/// What the pod and its node say. The fleet is the controller's matter.
fn allowed(memory: &Memory, facts: &Facts) -> Result<(), Refusal> {
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
    let flaps = memory.settings.on_flap == OnFlap::StayOff && memory.switches.exhausted(facts.now, &memory.settings);
    if flaps { Err(Refusal::Flapping) } else { Ok(()) }
}

/// The controller's word, while it is waited for or was no.
pub(super) fn ask(memory: &mut Memory, facts: &Facts, failure: Failure, intents: &mut Vec<Intent>) {
    let asked = failure.asked.unwrap_or(facts.now);
    if let Some(failure) = &mut memory.failure {
        failure.asked = Some(asked);
    }
    if failure.asked.is_none() {
        // An answer that is there before the question is one to an earlier question.
        memory.state = State::Confirmed;
        return;
    }
    match facts.consent {
        Consent::Granted => bypass(memory, facts, failure, intents),
        Consent::Denied(refusal) => refuse(memory, facts, refusal, failure.why, intents),
        Consent::NoController if facts.now.saturating_sub(asked) >= CONSENT_WITHIN => {
            refuse(memory, facts, Refusal::NoController, failure.why, intents);
        }
        Consent::Waiting | Consent::NoController => {}
    }
}

/// The gate is to go on; that it is on, the kernel has to show.
fn bypass(memory: &mut Memory, facts: &Facts, failure: Failure, intents: &mut Vec<Intent>) {
    if !facts.kernel.probes {
        intents.push(Intent::TakeProbes);
    }
    intents.push(Intent::GateOn(facts.standing.directions, facts.now));
    if facts.standing.directions.inbound() {
        intents.push(Intent::TakeReady);
    }
    memory.switches.record(facts.now);
    memory.cut_at = None;
    memory.stay = Some(Stay::new(facts.now, failure.why, failure.since));
    memory.failure = None;
    memory.state = State::Confirmed;
}

/// The failure is left alone, and its probes are the proxy's again: a pod that is not bypassed serves nobody, and must
/// not look ready.
fn refuse(memory: &mut Memory, facts: &Facts, refusal: Refusal, why: Condition, intents: &mut Vec<Intent>) {
    if !matches!(memory.state, State::Refused(_)) && facts.kernel.answers() {
        intents.push(Intent::ReturnProbes);
    }
    if memory.state != State::Refused(refusal) && facts.standing.mode != Mode::Off {
        intents.push(Intent::Tell(News::Refused(refusal, why)));
    }
    memory.state = State::Refused(refusal);
}
