//! A cluster's home and its traffic as they are now: what [`crate::failover`] decides from.

use super::{ClusterState, LATELY, Place, Setting};
use crate::event::{Basis, Event};
use crate::failover::{self, Active, Home, Traffic};
use crate::locality::{Locality, Tier};
use crate::time::Millis;
use crate::window::Window;

impl ClusterState {
    /// Endpoints that are ejected.
    pub(super) fn ejected_count(&self) -> u32 {
        let ejected = self.endpoints.iter().filter(|endpoint| endpoint.detector.ejection().is_some()).count();
        u32::try_from(ejected).unwrap_or(u32::MAX)
    }

    /// Envoy's count of endpoints, or ours.
    pub(super) fn endpoint_count(&self) -> u32 {
        let known = self.places.iter().fold(0_u32, |sum, place| sum.saturating_add(self.known_at(place)));
        self.total.unwrap_or(known)
    }

    /// Endpoints known in a place: those that traffic showed, and surely those in trouble.
    fn known_at(&self, place: &Place) -> u32 {
        let troubled = self.endpoints.iter().filter(|endpoint| endpoint.locality == place.locality).count();
        place.members.max(u32::try_from(troubled).unwrap_or(u32::MAX))
    }

    /// Notes whether Envoy may choose ejected endpoints now. It reckons by priority, which Istio makes of tiers.
    pub(super) fn watch_panic(&mut self, setting: &Setting<'_>) {
        if setting.outlier.min_health_percent > 0 && self.places.iter().any(|place| self.may_panic(place, setting)) {
            self.panicked_at = setting.now;
        }
    }

    /// Whether Envoy may have chosen ejected endpoints at `at`: its workers hear late that a panic is over.
    pub(super) fn panicked_lately(&self, at: Millis) -> bool {
        self.panicked_at > 0 && at < self.panicked_at.saturating_add(LATELY)
    }

    /// Most endpoints that were ejected at once lately.
    pub(super) fn peak_ejected(&self, now: Millis) -> u32 {
        let (most, at) = self.peak;
        let lately = now.saturating_sub(at) < LATELY;
        self.ejected_count().max(if lately { most } else { 0 })
    }

    /// Whether so few endpoints of a place's tier are in rotation that Envoy may choose ejected ones there.
    fn may_panic(&self, place: &Place, setting: &Setting<'_>) -> bool {
        let tier = place.locality.tier_from(setting.home);
        let (mut endpoints, mut healthy) = (0_u64, 0_u64);
        for place in self.places.iter().filter(|place| place.locality.tier_from(setting.home) == tier) {
            let (known, unhealthy) = (self.known_at(place), self.unhealthy_at(place));
            endpoints = endpoints.saturating_add(u64::from(known));
            healthy = healthy.saturating_add(u64::from(known.saturating_sub(unhealthy)));
        }
        healthy.saturating_mul(100) < endpoints.saturating_mul(u64::from(setting.outlier.min_health_percent))
    }

    /// Endpoints of a place that are ejected, or unhealthy otherwise by Envoy's word.
    fn unhealthy_at(&self, place: &Place) -> u32 {
        u32::try_from(self.ejected_at(place)).unwrap_or(u32::MAX).saturating_add(place.unhealthy)
    }

    /// Endpoints of a place that are ejected.
    pub(super) fn ejected_at(&self, place: &Place) -> usize {
        let here = self.endpoints.iter().filter(|endpoint| endpoint.locality == place.locality);
        here.filter(|endpoint| endpoint.detector.ejection().is_some()).count()
    }

    fn home(&self, home: &Locality) -> Option<Home> {
        let tier_of = |place: &Place| place.locality.tier_from(home);
        let tier = self.places.iter().filter(|place| self.known_at(place) > 0).map(tier_of).min()?;
        let mut found = Home { tier, locality: Locality::default(), endpoints: 0, healthy: 0, troubled: false };
        let mut most = None;
        for place in self.places.iter().filter(|place| tier_of(place) == tier) {
            let here = || self.endpoints.iter().filter(|endpoint| endpoint.locality == place.locality);
            let ejected = here().filter(|endpoint| endpoint.detector.ejection().is_some()).count();
            let failing = here().filter(|endpoint| endpoint.detector.is_failing()).count();
            let known = self.known_at(place);
            let unhealthy = self.unhealthy_at(place);
            let healthy = known.saturating_sub(unhealthy);
            found.endpoints = found.endpoints.saturating_add(known);
            found.healthy = found.healthy.saturating_add(healthy);
            found.troubled |= unhealthy > 0 || failing > 0;
            let rank = Some((ejected, failing, known));
            if rank > most {
                most = rank;
                found.locality = place.locality.clone();
            }
        }
        Some(found)
    }

    fn traffic(&self, home_tier: Tier, setting: &Setting<'_>) -> Traffic {
        let mut traffic = Traffic::default();
        for place in &self.places {
            let count = place.window.sum(setting.now, setting.failover.window.millis());
            traffic.attempts = traffic.attempts.saturating_add(count.attempts);
            let tier = place.locality.tier_from(setting.home);
            if tier > home_tier {
                traffic.away.push((place.locality.clone(), tier, count));
            }
        }
        traffic
    }

    /// Lets the failover take its next step; `served` is where an attempt went that this is about.
    pub(super) fn step_failover(&mut self, served: Option<&Locality>, setting: &Setting<'_>, events: &mut Vec<Event>) {
        if setting.home.is_unknown() {
            // Near and far mean nothing.
            return;
        }
        let home = self.home(setting.home);
        self.troubled_since = match home.as_ref().is_some_and(|home| home.troubled) {
            false => None,
            true if self.troubled_since.is_some() => self.troubled_since,
            true => {
                // From here on shares are taken anew: what went where before tells nothing of what the trouble moves.
                let usual = self.traffic(home.as_ref().map_or(Tier::Elsewhere, |home| home.tier), setting);
                self.usual_away = usual.thousandths_away(setting.failover.min_requests);
                self.places.iter_mut().for_each(|place| place.window = Window::default());
                Some(setting.now)
            }
        };
        let home_tier = home.as_ref().map_or(Tier::Elsewhere, |home| home.tier);
        let traffic = self.traffic(self.failover.as_ref().map_or(home_tier, Active::home_tier), setting);
        let served = served.map(|to| (to, to.tier_from(setting.home))).filter(|(_, tier)| *tier > home_tier);
        let since = self.troubled_since.unwrap_or(setting.now);
        let moment = failover::Moment { now: setting.now, troubled_since: since, usual_away: self.usual_away };
        let step = failover::step(&mut self.failover, home.as_ref(), &traffic, served, setting.failover, moment);
        if let Some(kind) = step {
            let basis = Some(Basis::Inferred);
            events.push(Event { basis, ..Event::of_cluster(setting.now, setting.cluster, kind) });
        }
    }
}
