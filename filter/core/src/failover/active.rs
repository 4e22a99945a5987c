//! A failover that is going on: what it counts, when it changes, and when it ends.

use super::destinations::{Before, Destinations};
use super::home::{Home, Traffic};
use super::usual::Usual;
use super::window::Count;
use crate::config;
use crate::encoded;
use crate::event::{Destination, EventKind, FailoverCause, FailoverEnd, Route};
use crate::locality::{Locality, Tier};
use crate::time::{Millis, seconds_between};

/// A share this small is none, where something goes away all the time.
const NEGLIGIBLE_SHARE: f64 = 0.01;
/// Where nothing usually goes away, a failover lasts as long as single requests do, but only for so many windows after
/// home is whole: a few of very many requests may go away for good.
const STRAGGLER_WINDOWS: u64 = 6;

/// A failover that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    from: Locality,
    to: Locality,
    home_tier: Tier,
    since: Millis,
    moved_at: Millis,
    /// When an attempt last went away, and when one was last seen by itself. The latter is exact.
    last_away: Millis,
    seen_away: Millis,
    destinations: Destinations,
    /// Since when all of home has been in rotation.
    whole_since: Option<Millis>,
    /// Since when, moreover, no more than usual has gone away.
    calm_since: Option<Millis>,
    /// The tier of `to`.
    tier: Tier,
    /// Since when another locality has received clearly more than `to`.
    outpaced_since: Option<Millis>,
    /// The share that was reported last, in thousandths.
    reported_permille: u32,
    /// Since when the share has been clearly larger.
    grown_since: Option<Millis>,
}

encoded!(struct Active {
    from, to, home_tier, since, moved_at, last_away, seen_away, destinations, whole_since, calm_since, tier,
    outpaced_since, reported_permille, grown_since,
});

impl Active {
    /// A failover from `home` to the locality `to`, and how it is reported. `before` is what went away already, by the
    /// filter's sums and by Envoy's counts, and `last_away` when the last of it did.
    pub(super) fn start(
        home: &Home,
        (to, tier): (&Locality, Tier),
        share: f64,
        before: Before<'_>,
        (now, last_away): (Millis, Millis),
    ) -> (Self, EventKind) {
        let mut destinations = Destinations::default();
        for (locality, _, count) in before.listed {
            destinations.count_listed(locality, *count);
        }
        for (locality, _, count) in before.seen {
            destinations.count_early(locality, *count);
            destinations.note_stay(locality, now, now);
        }
        let active = Self {
            from: home.locality.clone(),
            to: to.clone(),
            home_tier: home.tier,
            since: now,
            moved_at: now,
            last_away,
            seen_away: 0,
            destinations,
            whole_since: None,
            calm_since: None,
            tier,
            outpaced_since: None,
            reported_permille: permille(share),
            grown_since: None,
        };
        let route = active.route_told(home, share);
        (active, EventKind::FailoverStarted(route))
    }

    /// Counts attempts that went to a locality away from home between `since` and `now`, as a worker reports them.
    pub fn count_away(&mut self, to: &Locality, count: Count, since: Millis, now: Millis) {
        if count.attempts == 0 {
            return;
        }
        self.destinations.count(to, count);
        self.note_stay(to, count, since, now);
    }

    /// Notes that attempts went to a locality away from home between `since` and `now`.
    pub fn note_stay(&mut self, to: &Locality, count: Count, since: Millis, now: Millis) {
        if count.attempts == 0 {
            return;
        }
        let since = since.clamp(self.since.min(now), now);
        self.destinations.note_stay(to, since, now);
        if !(since..=now).contains(&self.seen_away) {
            // The last of them came at any time in between.
            let middle = since.saturating_add(now.saturating_sub(since) / 2);
            self.last_away = self.last_away.max(middle);
        }
    }

    /// Counts attempts away from home by Envoy's counts of the hosts there.
    pub fn count_listed(&mut self, to: &Locality, count: Count) {
        self.destinations.count_listed(to, count);
    }

    /// Notes that Envoy's counts of hosts may lack attempts from now on.
    pub fn note_lists_lack(&mut self) {
        self.destinations.note_lists_lack();
    }

    /// An attempt was just answered away from home; [`Active::count_away`] counts it later.
    pub(super) fn note_answered(&mut self, to: &Locality, now: Millis) {
        self.destinations.note_answered(to, now);
        (self.last_away, self.seen_away) = (self.last_away.max(now), now);
    }

    /// The home locality that lost, and the locality that receives most.
    pub fn route(&self) -> (&Locality, &Locality) {
        (&self.from, &self.to)
    }

    /// The tier that was home when the failover started.
    pub fn home_tier(&self) -> Tier {
        self.home_tier
    }

    /// The end, if it has come. `home` is `None` if the cluster has no known endpoint.
    pub(super) fn end(
        &mut self,
        home: Option<&Home>,
        traffic: &Traffic,
        usual: Usual,
        rules: &config::Failover,
        now: Millis,
    ) -> Option<EventKind> {
        let because = match home {
            Some(home) if home.tier == self.home_tier => {
                self.calm_since = self.calm_since(home, traffic, usual, rules.window.millis(), now);
                if now.saturating_sub(self.calm_since?) < rules.end_after.millis() {
                    return None;
                }
                FailoverEnd::Recovered
            }
            _ => FailoverEnd::Topology,
        };
        let until = self.until(usual, rules.window.millis());
        let destinations = self.destinations.told(until.saturating_sub(self.since));
        let total = |of: fn(&Destination) -> u64| destinations.iter().map(of).fold(0, u64::saturating_add);
        let (requests_away, errors_away) = (total(|to| to.requests), total(|to| to.errors));
        Some(EventKind::FailoverEnded {
            from: self.from.clone(),
            to: self.to.clone(),
            seconds: seconds_between(self.since, until),
            requests_away,
            errors_away,
            destinations,
            because,
            seconds_at_last: seconds_between(self.moved_at, until),
        })
    }

    /// Until when it lasted: to the last attempt away or, where some go away all the time, until home was whole and the
    /// share the usual one. That is seen up to a window later.
    fn until(&self, usual: Usual, window: Millis) -> Millis {
        let Some((whole, calm)) = self.whole_since.zip(self.calm_since).filter(|_| usual.share() > 0.0) else {
            return self.last_away;
        };
        whole.max(calm.saturating_sub(window)).min(self.last_away)
    }

    /// Since when home has been whole and the share the usual one; `None` if that is not so, or not yet.
    fn calm_since(
        &mut self,
        home: &Home,
        traffic: &Traffic,
        usual: Usual,
        window: Millis,
        now: Millis,
    ) -> Option<Millis> {
        if !home.is_whole() {
            self.whole_since = None;
            return None;
        }
        let whole_since = *self.whole_since.get_or_insert(now);
        let is_young = now.saturating_sub(whole_since) < window.saturating_mul(STRAGGLER_WINDOWS);
        if usual.share() == 0.0 && is_young {
            let window_is_clear = self.last_away.saturating_add(window).max(whole_since);
            return Some(window_is_clear).filter(|since| *since <= now);
        }
        let negligible = if is_young && usual.share() < NEGLIGIBLE_SHARE { 0.0 } else { NEGLIGIBLE_SHARE };
        let most = usual.share() + usual.margin(traffic.attempts).max(negligible);
        let is_usual = traffic.attempts == 0 || traffic.share() <= most;
        is_usual.then(|| self.calm_since.unwrap_or(now))
    }

    /// The change of destination, tier or share, if there is one to report.
    pub(super) fn change(
        &mut self,
        home: &Home,
        traffic: &Traffic,
        rules: &config::Failover,
        now: Millis,
    ) -> Option<EventKind> {
        // Zones with even shares take turns in the lead: only a clear lead, or another tier, makes a new destination.
        let outpaced = |(to, tier, count): &&(Locality, Tier, Count)| {
            *to != self.to && (*tier != self.tier || count.served() / 2 >= traffic.served_by(&self.to))
        };
        let Some((to, tier, _)) = traffic.busiest().filter(outpaced) else {
            self.outpaced_since = None;
            return self.grow(home, traffic, rules, now);
        };
        let since = *self.outpaced_since.get_or_insert(now);
        if now.saturating_sub(since) < rules.window.millis() {
            return None;
        }
        self.outpaced_since = None;
        self.tier = *tier;
        let left = (std::mem::replace(&mut self.to, to.clone()), seconds_between(self.moved_at, now));
        self.moved_at = now;
        // With nothing in rotation at home, all traffic goes away, whatever the window still holds.
        let share = if home.healthy == 0 { 1.0 } else { traffic.share() };
        (self.reported_permille, self.grown_since) = (permille(share), None);
        Some(EventKind::FailoverChanged { route: self.route_told(home, share), left: Some(left) })
    }

    /// Reports that at least twice the reported share has gone away for a whole window: another endpoint at home was
    /// lost.
    fn grow(&mut self, home: &Home, traffic: &Traffic, rules: &config::Failover, now: Millis) -> Option<EventKind> {
        // With nothing in rotation at home, all traffic goes away from now on, if it can.
        let all_lost = home.healthy == 0 && home.has_refuge && self.reported_permille < 900;
        let share = if all_lost { 1_000 } else { permille(traffic.share()) };
        let is_more =
            share >= self.reported_permille.saturating_mul(2) && share >= self.reported_permille.saturating_add(100);
        if !is_more && !all_lost {
            self.grown_since = None;
            return None;
        }
        let since = *self.grown_since.get_or_insert(now);
        if now.saturating_sub(since) < rules.window.millis() && !all_lost {
            return None;
        }
        (self.reported_permille, self.grown_since) = (share, None);
        let share = if all_lost { 1.0 } else { traffic.share() };
        Some(EventKind::FailoverChanged { route: self.route_told(home, share), left: None })
    }

    fn route_told(&self, home: &Home, share: f64) -> Route {
        Route {
            from: self.from.clone(),
            to: self.to.clone(),
            tier: self.tier,
            share,
            cause: home.cause.unwrap_or(FailoverCause::Unhealthy),
            healthy_at_home: home.healthy,
            endpoints_at_home: home.endpoints,
        }
    }
}

fn permille(share: f64) -> u32 {
    (share * 1_000.0) as u32
}
