//! A pod while its traffic goes past the proxy, and how that begins and ends in the kernel.

use super::facts::{Facts, Kernel};
use super::intent::{Intent, News};
use super::state::{Pod, State};
use super::stay::{Ending, Stay};
use crate::Moment;
use crate::refusal::Refusal;
use crate::settings::{OnFlap, OnOverdue};
use crate::sighting::Condition;
use crate::standing::Mode;

impl Pod {
    /// A gate that nobody here set, from an agent before this one or from a person, is looked after from now on.
    pub(super) fn adopt(&mut self, since: Moment, condition: Condition, intents: &mut Vec<Intent>) {
        self.was_well = true;
        self.failure = None;
        self.switches.record(since);
        self.stay = Some(Stay::found(since, condition));
        self.state = State::Bypassed;
        intents.push(Intent::Tell(News::Adopted));
    }

    pub(super) fn step_bypassed(
        &mut self,
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
                self.withdraw(facts, &stay, intents);
                return;
            }
            self.state = State::Recovering;
        } else {
            stay.observe(now, &facts.sighting, &self.settings);
            self.state = if stay.is_on { State::Bypassed } else { State::Confirmed };
        }
        let lasted = now.saturating_sub(stay.since);
        let overdue = lasted >= self.settings.longest;
        if overdue && !stay.overdue_told {
            stay.overdue_told = true;
            intents.push(Intent::Tell(News::Overdue(lasted)));
        }
        if stay.ending.is_none() {
            // The owner's word ends a bypass at once. A pod that is being deleted takes its rules with it.
            if self.is_well_again(now, &stay) || facts.standing.mode != Mode::Act {
                stay.ending = Some(Ending::Wanted);
            } else if overdue && self.settings.on_overdue == OnOverdue::Restore {
                stay.ending = Some(Ending::Overdue);
            }
        }
        self.stay = Some(stay);
        if stay.ending.is_some() {
            intents.push(Intent::GateOff);
            return;
        }
        if !facts.kernel.probes {
            intents.push(Intent::TakeProbes);
        }
        if facts.kernel.gate.is_none() || facts.kernel.half {
            intents.push(Intent::GateOn(facts.standing.directions, stay.since));
        }
    }

    fn is_well_again(&self, now: Moment, stay: &Stay) -> bool {
        let Some(well_since) = self.well_since else { return false };
        let well = now.saturating_sub(well_since) >= self.settings.well_for;
        let held = now.saturating_sub(stay.since) >= self.settings.hold;
        let flaps = self.settings.on_flap == OnFlap::StayBypassed && self.switches.exhausted(now, &self.settings);
        well && held && !flaps
    }

    fn withdraw(&mut self, facts: &Facts, stay: &Stay, intents: &mut Vec<Intent>) {
        intents.push(Intent::GateOff);
        intents.push(Intent::ReturnProbes);
        intents.push(Intent::Tell(News::Recovered(facts.now.saturating_sub(stay.failing_since))));
        self.stay = None;
        self.state = State::Well;
    }

    /// What the kernel shows of a bypass that was to begin or to end.
    pub(super) fn settle_gate(&mut self, now: Moment, kernel: &Kernel, mut stay: Stay, intents: &mut Vec<Intent>) {
        match (kernel.gate, stay.is_on, stay.ending) {
            (Some(_), false, _) => {
                stay.is_on = true;
                self.stay = Some(stay);
                self.state = State::Bypassed;
                if stay.why != Condition::Dead {
                    intents.push(Intent::CutProxySockets);
                }
                let failing_for = now.saturating_sub(stay.failing_since);
                intents.push(Intent::Tell(News::Bypassed(stay.why, failing_for)));
            }
            (None, true, ending) => {
                // Label and image go back with the wish; probes after them, because a caller that still sends plaintext
                // should find the pod ready.
                self.stay = None;
                self.failure = None;
                self.cut_at = Some(now.saturating_add(self.settings.grace));
                intents.push(Intent::ReturnProbes);
                intents.push(Intent::Tell(News::Restored(now.saturating_sub(stay.since))));
                self.state = State::Well;
                let still_fails = match ending {
                    Some(Ending::Overdue) => Some(Refusal::Overdue),
                    Some(Ending::Wanted) => None,
                    None => Some(Refusal::ByHand),
                };
                if let Some(refusal) = still_fails.filter(|_| self.well_since.is_none()) {
                    // The same failure must not bypass it again: the proxy has to be well first.
                    self.was_well = false;
                    self.state = State::Refused(refusal);
                }
            }
            _ => {}
        }
    }
}
