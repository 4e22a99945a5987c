//! The localities of a cluster: how many endpoints each has, how many of them are unhealthy, and how much traffic it
//! gets. The home tier and the destinations of traffic, which [`crate::failover`] needs, are computed from this.

use super::endpoints::Endpoints;
use crate::admin::host_lists::HostStatus;
use crate::encoded;
use crate::event::FailoverCause;
use crate::failover::{Count, Home, Traffic, Window};
use crate::locality::{Locality, Tier};
use crate::time::Millis;

/// Localities per cluster; the endpoints of further ones are not counted.
pub const MAX_LOCALITIES: usize = 64;

/// For how long the localities that served are still home after their endpoints left, in milliseconds.
const HOME_STAYS_MS: Millis = 3_600_000;

/// What is known about one locality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalityStats {
    pub(super) locality: Locality,
    /// The lowest of its hosts' priorities in Envoy's last list that had any, see [`Localities::shift`]; `None` if not
    /// known.
    priority: Option<u32>,
    /// Endpoints in this locality, as Envoy lists them or as traffic shows them.
    members: u32,
    /// Members that are not ejected but that Envoy reports as unhealthy or degraded; 0 without a witness.
    unhealthy: u32,
    /// When it last served an attempt; 0 if never.
    served_at: Millis,
    window: Window,
    /// What workers' sums contain that are not in the window but end in the present trouble.
    early: Count,
}

encoded!(struct LocalityStats { locality, priority, members, unhealthy, served_at, window, early });

/// The localities of a cluster, at most [`MAX_LOCALITIES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Localities(Vec<LocalityStats>);

encoded!(struct Localities(_));

impl Localities {
    pub(super) fn iter(&self) -> impl Iterator<Item = &LocalityStats> {
        self.0.iter()
    }

    /// The statistics of a locality, created if it is new; `None` if there are too many localities.
    pub(super) fn entry(&mut self, locality: &Locality) -> Option<&mut LocalityStats> {
        if !self.0.iter().any(|stats| stats.locality == *locality) {
            if self.0.len() >= MAX_LOCALITIES {
                return None;
            }
            self.0.push(LocalityStats {
                locality: locality.clone(),
                priority: None,
                members: 0,
                unhealthy: 0,
                served_at: 0,
                window: Window::default(),
                early: Count::default(),
            });
        }
        self.0.iter_mut().find(|stats| stats.locality == *locality)
    }

    /// Takes in the hosts that Envoy lists at `now`.
    pub(super) fn set_hosts<'h>(&mut self, hosts: impl Iterator<Item = &'h HostStatus>, now: Millis) {
        let mut before = Vec::with_capacity(self.0.len());
        for stats in &mut self.0 {
            before.push(stats.priority);
            (stats.members, stats.unhealthy, stats.priority) = (0, 0, None);
        }
        for host in hosts {
            if let Some(stats) = self.entry(&host.locality) {
                stats.members = stats.members.saturating_add(1);
                let is_unhealthy = !host.ejected && (!host.healthy || host.degraded);
                stats.unhealthy = stats.unhealthy.saturating_add(u32::from(is_unhealthy));
                stats.priority = Some(stats.priority.map_or(host.priority, |lowest| lowest.min(host.priority)));
            }
        }
        let shift = self.shift(&before, now);
        for (index, stats) in self.0.iter_mut().enumerate() {
            let remembered = before.get(index).copied().flatten().filter(|_| stats.was_home_lately(now));
            stats.priority = stats.priority.map_or(remembered, |priority| Some(priority.saturating_add(shift)));
        }
    }

    /// By how much all priorities are lower than `before`. A control plane numbers priorities from 0 without gaps: when
    /// the nearest localities leave, the others move up, and are still no nearer.
    fn shift(&self, before: &[Option<u32>], now: Millis) -> u32 {
        let known = || self.0.iter().zip(before).filter_map(|(stats, before)| Some((stats, (*before)?)));
        let mut shifts = known().filter_map(|(stats, before)| before.checked_sub(stats.priority?));
        let Some(first) = shifts.next().filter(|first| *first > 0) else { return 0 };
        let is_shifted = known()
            .all(|(stats, before)| stats.priority.is_none_or(|priority| before.checked_sub(priority) == Some(first)));
        let is_left = |(stats, before): (&LocalityStats, u32)| {
            stats.priority.is_none() && before < first && stats.was_home_lately(now)
        };
        if is_shifted && known().any(is_left) { first } else { 0 }
    }

    /// Sets the numbers of endpoints that traffic shows; other localities have none.
    pub(super) fn set_members(&mut self, counts: &[(Locality, u32)]) {
        self.0.iter_mut().for_each(|stats| stats.members = 0);
        for (locality, count) in counts {
            if let Some(stats) = self.entry(locality) {
                stats.members = *count;
            }
        }
    }

    /// Forgets what only Envoy's lists can show.
    pub(super) fn forget_health(&mut self) {
        self.0.iter_mut().for_each(|stats| stats.unhealthy = 0);
    }

    /// Counts attempts at a locality, made since a time, in its window of `length` milliseconds.
    pub(super) fn count(
        &mut self,
        locality: &Locality,
        attempts: Count,
        (since, now): (Millis, Millis),
        length: Millis,
    ) {
        if let Some(stats) = self.entry(locality) {
            stats.window.add(attempts, (since, now), length);
            stats.note_served(attempts, now);
        }
    }

    /// Keeps attempts out of the windows, because they also come from before the present trouble.
    pub(super) fn count_early(&mut self, locality: &Locality, attempts: Count, now: Millis) {
        if let Some(stats) = self.entry(locality) {
            stats.early.add(attempts);
            stats.note_served(attempts, now);
        }
    }

    /// Notes that attempts at a locality were served, without counting them.
    pub(super) fn note_served(&mut self, locality: &Locality, attempts: Count, now: Millis) {
        if let Some(stats) = self.entry(locality) {
            stats.note_served(attempts, now);
        }
    }

    /// Empties the windows, so that shares are measured afresh.
    pub(super) fn clear_windows(&mut self) {
        for stats in &mut self.0 {
            (stats.window, stats.early) = (Window::default(), Count::default());
        }
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
        for stats in self.0.iter().filter(|stats| stats.tier(home).unwrap_or(Tier::Elsewhere) == tier) {
            let (known, unhealthy) = (stats.known(endpoints), stats.unhealthy(endpoints));
            all = all.saturating_add(u64::from(known));
            healthy = healthy.saturating_add(u64::from(known.saturating_sub(unhealthy)));
        }
        healthy.saturating_mul(100) < all.saturating_mul(u64::from(min_health_percent))
    }

    /// How far a locality is from the proxy's own locality `home`; `None` if that is not known.
    pub(super) fn tier_of(&self, locality: &Locality, home: &Locality) -> Option<Tier> {
        if !home.is_unknown() {
            return Some(locality.tier_from(home));
        }
        self.0.iter().find(|stats| stats.locality == *locality).and_then(|stats| stats.tier(home))
    }

    /// Whether there are endpoints in several localities.
    pub(super) fn are_several(&self) -> bool {
        self.0.iter().filter(|stats| stats.members > 0).nth(1).is_some()
    }

    /// Whether the nearest localities, of which there are several, have different priorities; `None` if there is only
    /// one, or if the proxy's own locality `home` is not known.
    pub(super) fn nearest_differ_by_priority(&self, home: &Locality) -> Option<bool> {
        let present = || self.0.iter().filter(|stats| stats.members > 0 && !home.is_unknown());
        let tier = present().map(|stats| stats.locality.tier_from(home)).min()?;
        let mut nearest = present().filter(|stats| stats.locality.tier_from(home) == tier).map(|stats| stats.priority);
        let first = nearest.next()?;
        let second = nearest.next()?;
        Some(second != first || nearest.any(|priority| priority != first))
    }

    /// Whether it cannot be told which of several localities is home.
    pub(super) fn are_alike(&self, home: &Locality) -> bool {
        let is_away = |stats: &LocalityStats| stats.priority.is_some_and(|priority| priority > 0);
        home.is_unknown() && self.0.len() > 1 && !self.0.iter().any(is_away)
    }

    /// The home tier as seen from the proxy's locality; `None` when no endpoint is known. `total` is Envoy's count of
    /// endpoints, if known.
    pub(super) fn home(&self, endpoints: &Endpoints, home: &Locality, total: Option<u32>, now: Millis) -> Option<Home> {
        let is_home = |stats: &&LocalityStats| stats.known(endpoints) > 0 || stats.was_home_lately(now);
        let tier = self.0.iter().filter(is_home).filter_map(|stats| stats.tier(home)).min()?;
        let mut away = self.0.iter().filter(|stats| stats.tier(home).is_some_and(|farther| farther > tier));
        let has_refuge = away.any(|stats| stats.known(endpoints) > stats.unhealthy(endpoints));
        let mut found = Home { tier, locality: Locality::default(), endpoints: 0, healthy: 0, cause: None, has_refuge };
        let (mut most, mut ejected) = (None, 0_u32);
        for stats in self.0.iter().filter(|stats| stats.tier(home) == Some(tier)) {
            let (known, unhealthy) = (stats.known(endpoints), stats.unhealthy(endpoints));
            ejected = ejected.saturating_add(endpoints.ejected_at(&stats.locality));
            found.endpoints = found.endpoints.saturating_add(known);
            found.healthy = found.healthy.saturating_add(known.saturating_sub(unhealthy));
            let rank = Some((unhealthy, known, stats.served_at));
            if rank > most {
                most = rank;
                found.locality = stats.locality.clone();
            }
        }
        found.cause = if ejected > 0 {
            Some(FailoverCause::Ejected)
        } else if found.healthy < found.endpoints {
            Some(FailoverCause::Unhealthy)
        } else {
            (found.endpoints == 0 && self.knows_all(endpoints, total)).then_some(FailoverCause::EndpointsLeft)
        };
        Some(found)
    }

    /// Whether Envoy has no endpoints but those that are known here, and has any.
    fn knows_all(&self, endpoints: &Endpoints, total: Option<u32>) -> bool {
        let known = self.endpoint_count(endpoints);
        known > 0 && total.is_some_and(|total| total <= known)
    }

    /// Whether Envoy prefers home by its priorities, so that nothing goes away while home is whole: there are endpoints
    /// away, and all of them have a higher priority than those at home.
    pub(super) fn prefers_home(&self, home_tier: Tier, home: &Locality) -> bool {
        let present = || self.0.iter().filter(|stats| stats.members > 0);
        let is_home = |stats: &&LocalityStats| stats.tier(home) == Some(home_tier);
        let at_home = present().filter(is_home).map(|stats| stats.priority).max().flatten();
        let away = present().filter(|stats| !is_home(stats)).map(|stats| stats.priority).min().flatten();
        at_home.zip(away).is_some_and(|(at_home, away)| away > at_home)
    }

    /// Where traffic went in the window of `length` milliseconds: at home, and farther away than `home_tier`.
    pub(super) fn traffic(&self, home_tier: Tier, home: &Locality, now: Millis, length: Millis) -> Traffic {
        let mut traffic = Traffic::default();
        for stats in &self.0 {
            let count = stats.window.sum(now, length);
            traffic.attempts = traffic.attempts.saturating_add(count.attempts);
            if let Some(tier) = stats.tier(home).filter(|tier| *tier > home_tier) {
                traffic.away.push((stats.locality.clone(), tier, count));
                traffic.last_away = traffic.last_away.max(stats.window.last(now, length));
            }
        }
        traffic
    }

    /// What went farther away than `home_tier` after the trouble began and is not in the windows.
    pub(super) fn early(&self, home_tier: Tier, home: &Locality) -> Vec<(Locality, Tier, Count)> {
        let early = self.0.iter().filter(|stats| stats.early.attempts > 0).filter_map(|stats| {
            let tier = stats.tier(home).filter(|tier| *tier > home_tier)?;
            Some((stats.locality.clone(), tier, stats.early))
        });
        early.collect()
    }
}

impl LocalityStats {
    /// How far it is from the proxy's own locality; if that is not known, by priority: Envoy prefers what is near.
    fn tier(&self, home: &Locality) -> Option<Tier> {
        if !home.is_unknown() {
            return Some(self.locality.tier_from(home));
        }
        let priority = usize::try_from(self.priority?).unwrap_or(usize::MAX);
        Some(Tier::ALL.get(priority).copied().unwrap_or(Tier::Elsewhere))
    }

    /// Whether it served so lately that it may still be home, even without endpoints.
    fn was_home_lately(&self, now: Millis) -> bool {
        self.served_at > 0 && now.abs_diff(self.served_at) < HOME_STAYS_MS
    }

    fn note_served(&mut self, attempts: Count, now: Millis) {
        if attempts.served() > 0 {
            self.served_at = now;
        }
    }

    /// Endpoints of the locality: as many as Envoy or traffic shows, and at least those in trouble.
    fn known(&self, endpoints: &Endpoints) -> u32 {
        self.members.max(endpoints.at(&self.locality))
    }

    /// Endpoints that are ejected or that Envoy reports as unhealthy for another reason.
    fn unhealthy(&self, endpoints: &Endpoints) -> u32 {
        endpoints.ejected_at(&self.locality).saturating_add(self.unhealthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(localities: &mut Localities, hosts: &[(&str, u32)], now: Millis) {
        let host = |(locality, priority): &(&str, u32)| HostStatus {
            locality: Locality::parse(locality),
            priority: *priority,
            healthy: true,
            ..HostStatus::default()
        };
        let hosts: Vec<HostStatus> = hosts.iter().map(host).collect();
        localities.set_hosts(hosts.iter(), now);
    }

    #[test]
    fn home_that_left_is_home_although_the_others_have_moved_up() {
        let (mut localities, unknown) = (Localities::default(), Locality::default());
        let (a, b, c) = (Locality::parse("r/a"), Locality::parse("r/b"), Locality::parse("q/c"));
        let tiers = |localities: &Localities| [&a, &b, &c].map(|l| localities.tier_of(l, &unknown));
        let near = [Tier::SameSubzone, Tier::SameZone, Tier::SameRegion].map(Some);
        listed(&mut localities, &[("r/a", 0), ("r/b", 1), ("q/c", 2)], 1_000);
        for served in [&a, &b] {
            localities.note_served(served, Count { attempts: 1, errors: 0 }, 1_000);
        }
        listed(&mut localities, &[("r/b", 0), ("q/c", 1)], 2_000);
        assert_eq!(tiers(&localities), near);
        listed(&mut localities, &[("q/c", 0)], 3_000);
        assert_eq!(tiers(&localities), near);
        listed(&mut localities, &[("r/a", 0), ("r/b", 1), ("q/c", 2)], 4_000);
        assert_eq!(tiers(&localities), near);
        // Numbered anew with all of them there, they are what they are called.
        listed(&mut localities, &[("r/a", 1), ("r/b", 0), ("q/c", 2)], 5_000);
        assert_eq!(tiers(&localities), [Tier::SameZone, Tier::SameSubzone, Tier::SameRegion].map(Some));
        listed(&mut localities, &[("r/a", 0), ("q/c", 1)], HOME_STAYS_MS + 9_000);
        assert_eq!(localities.tier_of(&a, &unknown), Some(Tier::SameSubzone), "after an hour");
    }
}
