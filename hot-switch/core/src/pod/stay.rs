//! A bypass while it lasts: since when, why, and which image the proxy's container should have.

use super::intent::Image;
use crate::Moment;
use crate::settings::Settings;
use crate::sighting::{Condition, Container, Sighting};

/// The real image is tried at most this many times the first gap apart.
const LONGEST_GAP: u32 = 16;
/// How long the real image may take to become well before the stand-in is wanted again.
const TRIAL: Moment = Moment::from_secs(60);

/// Why a bypass ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The proxy is well again, or the owner wants none.
    Wanted,
    /// It lasted too long; the proxy still fails.
    Overdue,
}

/// A bypass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    /// When the gate went on.
    pub(super) since: Moment,
    /// Why.
    pub(super) why: Condition,
    /// When the failure began: names the wish.
    pub(super) failing_since: Moment,
    /// Whether the kernel has shown the gate, and people were told.
    pub(super) is_on: bool,
    /// Whether its being overdue was told.
    pub(super) overdue_told: bool,
    /// Whether the owner has said that protection may be lost.
    pub(super) may_be_lost: bool,
    /// How it is being ended, if it is.
    pub(super) ending: Option<Ending>,
    /// Since when the container has been down, while it is.
    down_since: Option<Moment>,
    image: Image,
    image_since: Moment,
    tries: u32,
}

impl Stay {
    pub(super) fn new(since: Moment, why: Condition, failing_since: Moment) -> Self {
        Self {
            since,
            why,
            failing_since,
            is_on: false,
            overdue_told: false,
            may_be_lost: false,
            ending: None,
            down_since: None,
            image: Image::Real,
            image_since: since,
            tries: 0,
        }
    }

    /// A bypass that was found in the kernel.
    pub(super) fn found(since: Moment, why: Condition) -> Self {
        Self { is_on: true, ..Self::new(since, why, since) }
    }

    /// Which image is wanted now.
    pub(super) fn image(&self) -> Image {
        self.image
    }

    /// The proxy is well: its own image serves.
    pub(super) fn on_well(&mut self) {
        self.image = Image::Real;
        self.down_since = None;
    }

    /// Takes a sighting in, and decides on the image.
    pub(super) fn observe(&mut self, now: Moment, sighting: &Sighting, settings: &Settings) {
        let condition = sighting.condition();
        let down = sighting.container == Container::Down || condition == Condition::Dead;
        self.down_since = if down { self.down_since.or(Some(now)) } else { None };
        match self.image {
            Image::Real => {
                let Some(after) = settings.stand_in_after else { return };
                // A stand-in that an agent before this one asked for is kept.
                let found = condition == Condition::StandIn && self.tries == 0;
                let down_for = self.down_since.map(|since| now.saturating_sub(since));
                let tried = self.tries == 0 || now.saturating_sub(self.image_since) >= TRIAL;
                if found || (tried && down_for.is_some_and(|down_for| down_for >= after)) {
                    self.image = Image::StandIn;
                    self.image_since = now;
                }
            }
            Image::StandIn => {
                let factor = 1_u32.checked_shl(self.tries).unwrap_or(LONGEST_GAP).min(LONGEST_GAP);
                let gap = settings.retry_image.saturating_mul(factor);
                if now.saturating_sub(self.image_since) >= gap {
                    self.image = Image::Real;
                    self.image_since = now;
                    self.tries = self.tries.saturating_add(1);
                }
            }
        }
    }
}
