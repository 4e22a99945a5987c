//! A pod's step: one round's facts in, what to do out.

use super::facts::{Facts, Kernel};
use super::intent::Intent;
use super::state::{Pod, State};
use crate::Moment;
use crate::sighting::Condition;

impl Pod {
    /// Takes one round's facts in, and says what to do.
    pub fn step(&mut self, facts: &Facts) -> Vec<Intent> {
        let mut intents = self.settle(facts.now, &facts.kernel);
        let condition = facts.sighting.condition();
        if condition == Condition::Well {
            self.was_well = true;
            self.well_since = self.well_since.or(Some(facts.now));
        } else {
            self.well_since = None;
        }
        match (self.stay, facts.kernel.gate) {
            (None, Some(since)) => self.adopt(since, condition, &mut intents),
            (None, None) if facts.kernel.probes && self.state == State::Unborn => {
                // Probes are taken over only from a proxy that had been well: an agent before this one saw that.
                self.was_well = true;
            }
            _ => {}
        }
        match self.stay {
            Some(stay) => self.step_bypassed(facts, stay, condition, &mut intents),
            None => self.step_through(facts, condition, &mut intents),
        }
        intents
    }

    /// Takes in what the kernel shows after something was done, and says what follows.
    pub fn settle(&mut self, now: Moment, kernel: &Kernel) -> Vec<Intent> {
        let mut intents = Vec::new();
        if let Some(stay) = self.stay {
            self.settle_gate(now, kernel, stay, &mut intents);
        }
        intents
    }

    /// Takes in the controller's word when it comes between two rounds; `facts` are the last round's, with this word
    /// and the moment of now.
    pub fn hear(&mut self, facts: &Facts) -> Vec<Intent> {
        let mut intents = Vec::new();
        if let Some(failure) = self.failure.filter(|failure| failure.asked.is_some())
            && self.stay.is_none()
        {
            self.ask(facts, failure, &mut intents);
        }
        intents
    }
}
