//! A pod's step: one round's facts in, what to do out.

use super::bypassed::{adopt, settle_gate, step_bypassed};
use super::facts::{Facts, Kernel};
use super::intent::{Image, Intent, Wish};
use super::state::{Memory, State};
use super::through::{ask, step_through};
use crate::Moment;
use crate::settings::Settings;
use crate::sighting::Condition;

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    memory: Memory,
}

impl Pod {
    /// A pod of which nothing is known yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { memory: Memory::new(settings) }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.memory.state
    }

    /// Since when it has been bypassed, if it is.
    #[must_use]
    pub fn bypassed_since(&self) -> Option<Moment> {
        self.memory.stay.filter(|stay| stay.is_on).map(|stay| stay.since)
    }

    /// Whether its proxy fails and nothing has been done about it.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.memory.failure.is_some()
    }

    /// What it wants from the controller. `None`: nothing, and what was granted is to be taken back.
    #[must_use]
    pub fn wish(&self) -> Option<Wish> {
        if let Some(stay) = self.memory.stay {
            return Some(Wish { since: stay.failing_since, why: stay.why, image: stay.image() });
        }
        let failure = self.memory.failure.filter(|failure| failure.asked.is_some())?;
        Some(Wish { since: failure.since, why: failure.why, image: Image::Real })
    }

    /// Takes one round's facts in, and says what to do.
    pub fn step(&mut self, facts: &Facts) -> Vec<Intent> {
        let mut intents = self.settle(facts.now, &facts.kernel);
        let condition = facts.sighting.condition();
        if condition == Condition::Well {
            self.memory.was_well = true;
            self.memory.well_since = self.memory.well_since.or(Some(facts.now));
        } else {
            self.memory.well_since = None;
        }
        match (self.memory.stay, facts.kernel.gate) {
            (None, Some(since)) => adopt(&mut self.memory, since, condition, &mut intents),
            (None, None) if facts.kernel.probes && self.memory.state == State::Unborn => {
                // Probes are taken over only from a proxy that had been well: an agent before this one saw that.
                self.memory.was_well = true;
            }
            _ => {}
        }
        match self.memory.stay {
            Some(stay) => step_bypassed(&mut self.memory, facts, stay, condition, &mut intents),
            None => step_through(&mut self.memory, facts, condition, &mut intents),
        }
        intents
    }

    /// Takes in what the kernel shows after something was done, and says what follows.
    pub fn settle(&mut self, now: Moment, kernel: &Kernel) -> Vec<Intent> {
        let mut intents = Vec::new();
        if let Some(stay) = self.memory.stay {
            settle_gate(&mut self.memory, now, kernel, stay, &mut intents);
        }
        intents
    }

    /// Takes in the controller's word when it comes between two rounds; `facts` are the last round's, with this word
    /// and the moment of now.
    pub fn hear(&mut self, facts: &Facts) -> Vec<Intent> {
        let mut intents = Vec::new();
        if let Some(failure) = self.memory.failure.filter(|failure| failure.asked.is_some())
            && self.memory.stay.is_none()
        {
            ask(&mut self.memory, facts, failure, &mut intents);
        }
        intents
    }
}
