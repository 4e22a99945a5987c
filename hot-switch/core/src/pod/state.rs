//! Where a pod stands.

use super::stay::Stay;
use super::switches::Switches;
use crate::Moment;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::sighting::Condition;

/// Where a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its proxy was never seen well.
    Unborn,
    /// Its proxy serves.
    Well,
    /// Its proxy fails, not yet for long enough.
    Suspect,
    /// It is to be bypassed, and waits for the controller or the kernel.
    Confirmed,
    /// Its traffic goes past the proxy.
    Bypassed,
    /// The same, and the proxy is well again.
    Recovering,
    /// Its proxy fails, and it is not bypassed.
    Refused(Refusal),
}

impl State {
    /// The words of all states, for metrics.
    pub const WORDS: [&str; 7] = ["unborn", "well", "suspect", "confirmed", "bypassed", "recovering", "refused"];

    /// The word of metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unborn => "unborn",
            Self::Well => "well",
            Self::Suspect => "suspect",
            Self::Confirmed => "confirmed",
            Self::Bypassed => "bypassed",
            Self::Recovering => "recovering",
            Self::Refused(_) => "refused",
        }
    }
}

/// A failure that goes on while traffic goes through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) since: Moment,
    /// The last time that a sighting showed it.
    pub(super) last: Moment,
    pub(super) why: Condition,
    /// Failing sightings.
    pub(super) sightings: u32,
    pub(super) told: bool,
    /// Since when the controller has been asked.
    pub(super) asked: Option<Moment>,
}

/// What is remembered of a pod from one step to the next.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) was_well: bool,
    pub(super) failure: Option<Failure>,
    pub(super) stay: Option<Stay>,
    pub(super) well_since: Option<Moment>,
    /// When the direct connections of the last bypass are cut.
    pub(super) cut_at: Option<Moment>,
    pub(super) switches: Switches,
}

impl Memory {
    /// A pod of which nothing is known yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Unborn,
            was_well: false,
            failure: None,
            stay: None,
            well_since: None,
            cut_at: None,
            switches: Switches::default(),
        }
    }
}
