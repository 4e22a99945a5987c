//! A pod while its traffic goes past the proxy, and how that begins and ends in the kernel.

use super::facts::{Facts, Kernel};
use super::intent::{Intent, News};
use super::state::{Memory, State};
use super::stay::{Ending, Stay};
use crate::Moment;
use crate::refusal::Refusal;
use crate::settings::{OnFlap, OnOverdue};
use crate::sighting::Condition;
use crate::standing::{Mode, Protection};

/// A gate that nobody here set, from an agent before this one or from a person, is looked after from now on.
pub(super) fn adopt(memory: &mut Memory, since: Moment, condition: Condition, intents: &mut Vec<Intent>) {
    memory.was_well = true;
    memory.failure = None;
    memory.switches.record(since);
    memory.stay = Some(Stay::found(since, condition));
    memory.state = State::Bypassed;
    intents.push(Intent::Tell(News::Adopted));
}

pub(super) fn step_bypassed(
    memory: &mut Memory,
    facts: &Facts,
    mut stay: Stay,
    condition: Condition,
    intents: &mut Vec<Intent>,
) {
    let now = facts.now;
    if condition == Condition::Well {
        stay.on_well();
        if !stay.is_on {
            // It became well before anything was done.
            withdraw(memory, facts, &stay, intents);
            return;
        }
        memory.state = State::Recovering;
    } else {
        stay.observe(now, &facts.sighting, &memory.settings);
        memory.state = if stay.is_on { State::Bypassed } else { State::Confirmed };
    }
    let lasted = now.saturating_sub(stay.since);
    let overdue = lasted >= memory.settings.longest;
    if overdue && !stay.overdue_told {
        stay.overdue_told = true;
        intents.push(Intent::Tell(News::Overdue(lasted)));
    }
    if stay.ending.is_none() {
        // The owner's word ends a bypass at once. A pod that is being deleted takes its rules with it.
        if is_well_again(memory, now, &stay) || is_withdrawn(facts, &mut stay) {
            stay.ending = Some(Ending::Wanted);
        } else if overdue && memory.settings.on_overdue == OnOverdue::Restore {
            stay.ending = Some(Ending::Overdue);
        }
    }
    memory.stay = Some(stay);
    if stay.ending.is_some() {
        intents.push(Intent::GateOff);
        return;
    }
    let inbound = facts.standing.directions.inbound();
    if facts.kernel.ready && !inbound {
        intents.push(Intent::ReturnProbes);
    }
    if !facts.kernel.probes || (facts.kernel.ready && !inbound) {
        intents.push(Intent::TakeProbes);
    }
    if facts.kernel.gate.is_none() || facts.kernel.half {
        intents.push(Intent::GateOn(facts.standing.directions, stay.since));
    }
    if !facts.kernel.ready && inbound {
        intents.push(Intent::TakeReady);
    }
}

/// Whether the owner takes back the word to bypass the pod, or the one to lose its protection.
fn is_withdrawn(facts: &Facts, stay: &mut Stay) -> bool {
    let may_be_lost = facts.standing.protection == Protection::MayBeLost;
    let withdrawn = stay.may_be_lost && !may_be_lost && facts.standing.directions.inbound();
    stay.may_be_lost |= may_be_lost;
    withdrawn || facts.standing.mode != Mode::Act
}

fn is_well_again(memory: &Memory, now: Moment, stay: &Stay) -> bool {
    let Some(well_since) = memory.well_since else { return false };
    let well = now.saturating_sub(well_since) >= memory.settings.well_for;
    let held = now.saturating_sub(stay.since) >= memory.settings.hold;
    let flaps = memory.settings.on_flap == OnFlap::StayBypassed && memory.switches.exhausted(now, &memory.settings);
    well && held && !flaps
}

fn withdraw(memory: &mut Memory, facts: &Facts, stay: &Stay, intents: &mut Vec<Intent>) {
    intents.push(Intent::GateOff);
    intents.push(Intent::ReturnProbes);
    intents.push(Intent::Tell(News::Recovered(facts.now.saturating_sub(stay.failing_since))));
    memory.stay = None;
    memory.state = State::Well;
}

/// What the kernel shows of a bypass that was to begin or to end.
pub(super) fn settle_gate(
    memory: &mut Memory,
    now: Moment,
    kernel: &Kernel,
    mut stay: Stay,
    intents: &mut Vec<Intent>,
) {
    match (kernel.gate, stay.is_on, stay.ending) {
        (Some(_), false, _) => {
            stay.is_on = true;
            memory.stay = Some(stay);
            memory.state = State::Bypassed;
            if stay.why != Condition::Dead {
                intents.push(Intent::CutProxySockets);
            }
            let failing_for = now.saturating_sub(stay.failing_since);
            intents.push(Intent::Tell(News::Bypassed(stay.why, failing_for)));
        }
        (None, true, ending) => {
            // Label and image go back with the wish; probes after them, because a caller that still sends plaintext
            // should find the pod ready.
            memory.stay = None;
            memory.failure = None;
            memory.cut_at = Some(now.saturating_add(memory.settings.grace));
            intents.push(Intent::ReturnProbes);
            intents.push(Intent::Tell(News::Restored(now.saturating_sub(stay.since))));
            memory.state = State::Well;
            let still_fails = match ending {
                Some(Ending::Overdue) => Some(Refusal::Overdue),
                Some(Ending::Wanted) => None,
                None => Some(Refusal::ByHand),
            };
            if let Some(refusal) = still_fails.filter(|_| memory.well_since.is_none()) {
                // The same failure must not bypass it again: the proxy has to be well first.
                memory.was_well = false;
                memory.state = State::Refused(refusal);
            }
        }
        _ => {}
    }
}
