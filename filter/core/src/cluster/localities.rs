//! The localities of a cluster: how many endpoints each has, how many of them are unhealthy, and how much traffic it
//! gets. The home tier and the destinations of traffic, which [`crate::failover`] needs, are computed from this.

use super::endpoint::{Endpoints, count};
use crate::event::FailoverCause;
use crate::failover::{Count, Home, Traffic, Window};
use crate::locality::{Locality, Tier};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// Localities per cluster; the endpoints of further ones are not counted.
pub const MAX_LOCALITIES: usize = 64;

/// What is known about one locality.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LocalityStats {
    pub(super) locality: Locality,
    /// Endpoints in this locality, as Envoy lists them or as traffic shows them.
    pub(super) members: u32,
    /// Members that are not ejected but that Envoy reports as unhealthy; 0 without a witness.
    pub(super) unhealthy: u32,
    window: Window,
}

/// The localities of a cluster, at most [`MAX_LOCALITIES`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Localities(Vec<LocalityStats>);

impl Localities {
    pub(super) fn iter(&self) -> impl Iterator<Item = &LocalityStats> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut LocalityStats> {
        self.0.iter_mut()
    }

    /// The statistics of a locality, created if it is new; `None` if there are too many localities.
    pub(super) fn entry(&mut self, locality: &Locality) -> Option<&mut LocalityStats> {
        if !self.0.iter().any(|stats| stats.locality == *locality) {
            if self.0.len() >= MAX_LOCALITIES {
                return None;
            }
            let (locality, window) = (locality.clone(), Window::default());
            self.0.push(LocalityStats { locality, members: 0, unhealthy: 0, window });
        }
        self.0.iter_mut().find(|stats| stats.locality == *locality)
    }

    /// Counts attempts at a locality in its window of `length` milliseconds.
    pub(super) fn count(&mut self, locality: &Locality, attempts: Count, now: Millis, length: u64) {
        if let Some(stats) = self.entry(locality) {
            stats.window.add(attempts, now, length);
        }
    }

    /// Empties the windows, so that shares are measured afresh.
    pub(super) fn clear_windows(&mut self) {
        self.0.iter_mut().for_each(|stats| stats.window = Window::default());
    }

    /// Endpoints known in all localities.
    pub(super) fn endpoint_count(&self, endpoints: &Endpoints) -> u32 {
        self.0.iter().fold(0_u32, |sum, stats| sum.saturating_add(stats.known(endpoints)))
    }

    /// Whether so few endpoints of any tier are in rotation that Envoy may choose ejected ones there (panic). Envoy
    /// decides by priority; Istio derives priorities from tiers.
    pub(super) fn may_panic(&self, endpoints: &Endpoints, home: &Locality, min_health_percent: u32) -> bool {
        Tier::ALL.into_iter().any(|tier| self.tier_may_panic(tier, endpoints, home, min_health_percent))
    }

    fn tier_may_panic(&self, tier: Tier, endpoints: &Endpoints, home: &Locality, min_health_percent: u32) -> bool {
        let (mut all, mut healthy) = (0_u64, 0_u64);
        for stats in self.0.iter().filter(|stats| stats.locality.tier_from(home) == tier) {
            let (known, unhealthy) = (stats.known(endpoints), stats.unhealthy(endpoints));
            all = all.saturating_add(u64::from(known));
            healthy = healthy.saturating_add(u64::from(known.saturating_sub(unhealthy)));
        }
        healthy.saturating_mul(100) < all.saturating_mul(u64::from(min_health_percent))
    }

    /// The home tier as seen from the proxy's locality; `None` when no endpoint is known.
    pub(super) fn home(&self, endpoints: &Endpoints, home: &Locality) -> Option<Home> {
        let tier_of = |stats: &LocalityStats| stats.locality.tier_from(home);
        let tier = self.0.iter().filter(|stats| stats.known(endpoints) > 0).map(tier_of).min()?;
        let (locality, cause) = (Locality::default(), FailoverCause::Unhealthy);
        let mut found = Home { tier, locality, endpoints: 0, healthy: 0, cause, troubled: false };
        let mut most = None;
        for stats in self.0.iter().filter(|stats| tier_of(stats) == tier) {
            let failing = count(endpoints.at(&stats.locality).filter(|endpoint| endpoint.detector.is_failing()));
            let (known, unhealthy) = (stats.known(endpoints), stats.unhealthy(endpoints));
            found.endpoints = found.endpoints.saturating_add(known);
            found.healthy = found.healthy.saturating_add(known.saturating_sub(unhealthy));
            found.troubled |= unhealthy > 0 || failing > 0;
            if endpoints.ejected_at(&stats.locality) > 0 {
                found.cause = FailoverCause::Ejected;
            }
            let rank = Some((endpoints.ejected_at(&stats.locality), failing, known));
            if rank > most {
                most = rank;
                found.locality = stats.locality.clone();
            }
        }
        Some(found)
    }

    /// Where traffic went in the window of `length` milliseconds: at home, and farther away than `home_tier`.
    pub(super) fn traffic(&self, home_tier: Tier, home: &Locality, now: Millis, length: u64) -> Traffic {
        let mut traffic = Traffic::default();
        for stats in &self.0 {
            let count = stats.window.sum(now, length);
            traffic.attempts = traffic.attempts.saturating_add(count.attempts);
            let tier = stats.locality.tier_from(home);
            if tier > home_tier {
                traffic.away.push((stats.locality.clone(), tier, count));
            }
        }
        traffic
    }
}

impl LocalityStats {
    /// Endpoints of the locality: as many as Envoy or traffic shows, and at least those in trouble.
    fn known(&self, endpoints: &Endpoints) -> u32 {
        self.members.max(count(endpoints.at(&self.locality)))
    }

    /// Endpoints that are ejected or that Envoy reports as unhealthy for another reason.
    fn unhealthy(&self, endpoints: &Endpoints) -> u32 {
        endpoints.ejected_at(&self.locality).saturating_add(self.unhealthy)
    }
}
