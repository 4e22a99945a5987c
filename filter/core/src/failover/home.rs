//! A cluster's home tier and its traffic, as they are at one moment.

use super::window::Count;
use crate::event::FailoverCause;
use crate::locality::{Locality, Tier};
use crate::time::Millis;

/// A cluster's home tier as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The nearest tier that has an endpoint, or had one that served within the last hour.
    pub tier: Tier,
    /// The tier's locality that lost most endpoints; if none lost any, the one that has most, or served last.
    pub locality: Locality,
    /// Endpoints in the tier; 0 if all have left.
    pub endpoints: u32,
    /// Endpoints that are in rotation: neither ejected nor unhealthy.
    pub healthy: u32,
    /// What keeps traffic from home; `None` if nothing does, or if it is not known whether endpoints have left.
    pub cause: Option<FailoverCause>,
    /// Whether an endpoint farther away is in rotation.
    pub has_refuge: bool,
}

impl Home {
    /// Whether every endpoint is in rotation, and there is one.
    pub fn is_whole(&self) -> bool {
        self.endpoints > 0 && self.healthy >= self.endpoints
    }

    /// Whether no endpoint is in rotation, for a known cause.
    pub fn is_lost(&self) -> bool {
        self.cause.is_some() && self.healthy == 0
    }
}

/// Where a cluster's traffic went in the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Attempts in the window, at home and away.
    pub attempts: u32,
    /// The localities away from home, their tiers, and what they served.
    pub away: Vec<(Locality, Tier, Count)>,
    /// When an attempt last went away from home, about; `None` if none did.
    pub last_away: Option<Millis>,
}

impl Traffic {
    /// The attempts that went away from home.
    pub fn away_attempts(&self) -> u32 {
        self.away.iter().fold(0_u32, |sum, (_, _, count)| sum.saturating_add(count.attempts))
    }

    /// The share of attempts that went away from home, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.attempts == 0 { 0.0 } else { f64::from(self.away_attempts()) / f64::from(self.attempts) }
    }

    /// The locality away from home that served most; attempts that failed do not count as served.
    pub(super) fn busiest(&self) -> Option<&(Locality, Tier, Count)> {
        busiest_of(&self.away)
    }

    /// The locality away from home that got most attempts.
    pub(super) fn most_tried(&self) -> Option<&(Locality, Tier, Count)> {
        most_of(&self.away, |count| count.attempts)
    }

    pub(super) fn served_by(&self, locality: &Locality) -> u32 {
        self.away.iter().find(|(known, _, _)| known == locality).map_or(0, |(_, _, count)| count.served())
    }
}

/// The locality that served most.
pub(super) fn busiest_of(away: &[(Locality, Tier, Count)]) -> Option<&(Locality, Tier, Count)> {
    most_of(away, Count::served)
}

fn most_of(away: &[(Locality, Tier, Count)], by: fn(&Count) -> u32) -> Option<&(Locality, Tier, Count)> {
    away.iter().filter(|(_, _, count)| by(count) > 0).max_by_key(|(_, _, count)| by(count))
}
