//! When a cluster's traffic counts as failed over to another locality, when the failover changes, and when it ends.
//!
//! Home is the nearest tier in which the cluster has any endpoint, healthy or not; away is anything farther. A failover
//! starts when home is in trouble and a share of the traffic goes away, or at once when nothing at home is healthy. It
//! changes when another locality receives most for a whole window, or when clearly more goes away. It ends when all of
//! home is healthy and the share has been small for a while, or when home has no endpoints any more. The thresholds
//! come from [`crate::config::Failover`].
//!
//! Not here: which endpoints are healthy and where traffic went; both come from [`crate::cluster`].

mod window;

use crate::config;
use crate::event::{Destination, EventKind, FailoverCause, FailoverEnd, Route};
use crate::locality::{Locality, Tier};
use crate::time::{Millis, seconds_between};
use serde::{Deserialize, Serialize};
pub use window::{Count, Window};

/// A cluster's home tier as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The nearest tier with an endpoint.
    pub tier: Tier,
    /// The tier's locality that lost most endpoints, or that has most if none lost any.
    pub locality: Locality,
    /// Endpoints in the tier.
    pub endpoints: u32,
    /// Endpoints that are not ejected.
    pub healthy: u32,
    /// What keeps traffic from home, if anything does.
    pub cause: FailoverCause,
    /// Whether any of them is ejected or failing.
    pub troubled: bool,
}

/// Where a cluster's traffic went in the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Attempts in the window, at home and away.
    pub attempts: u32,
    /// The localities away from home, their tiers, and what they served.
    pub away: Vec<(Locality, Tier, Count)>,
}

impl Traffic {
    /// The attempts that were served away from home.
    fn served_away(&self) -> Count {
        let mut sum = Count::default();
        self.away.iter().for_each(|(_, _, count)| sum.add(*count));
        sum
    }

    fn share(&self) -> f64 {
        if self.attempts == 0 { 0.0 } else { f64::from(self.served_away().attempts) / f64::from(self.attempts) }
    }

    /// The share that goes away, in thousandths; 0 if there are fewer than `least` attempts.
    pub fn away_permille(&self, least: u32) -> u32 {
        if self.attempts < least { 0 } else { permille(self.share()) }
    }

    /// The locality away from home that served most; attempts that failed do not count as served.
    fn busiest(&self) -> Option<&(Locality, Tier, Count)> {
        self.away.iter().filter(|(_, _, count)| served(count) > 0).max_by_key(|(_, _, count)| served(count))
    }

    fn served_by(&self, locality: &Locality) -> u32 {
        self.away.iter().find(|(known, _, _)| known == locality).map_or(0, |(_, _, count)| served(count))
    }
}

fn served(count: &Count) -> u32 {
    count.attempts.saturating_sub(count.errors)
}

/// The time of a step, and the share that went away before the trouble.
#[derive(Clone, Copy, Debug)]
pub struct StepContext {
    /// The current time.
    pub now: Millis,
    /// Since when endpoints at home have been in trouble and shares have been measured.
    pub troubled_since: Millis,
    /// The share that went away before that, in thousandths. Unless zones are preferred, some traffic always goes away.
    pub baseline_spill_permille: u32,
}

impl StepContext {
    /// Whether clearly more goes away than before the trouble.
    fn exceeds_baseline(&self, share: f64, rules: &config::Failover) -> bool {
        share >= rules.start_share + f64::from(self.baseline_spill_permille) / 1_000.0
    }
}

/// A failover that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    from: Locality,
    to: Locality,
    home_tier: Tier,
    since: Millis,
    moved_at: Millis,
    last_away: Millis,
    requests_away: u64,
    errors_away: u64,
    /// Since when all of home has been healthy and little traffic goes away.
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

impl Active {
    /// Counts attempts that were served away from home.
    pub fn count_away(&mut self, attempts: u32, errors: u32, now: Millis) {
        self.requests_away = self.requests_away.saturating_add(u64::from(attempts));
        self.errors_away = self.errors_away.saturating_add(u64::from(errors));
        if attempts > 0 {
            self.last_away = self.last_away.max(now);
        }
    }

    /// The home locality that lost, and the locality that receives most.
    pub fn route(&self) -> (&Locality, &Locality) {
        (&self.from, &self.to)
    }

    /// The tier that was home when the failover started.
    pub fn home_tier(&self) -> Tier {
        self.home_tier
    }
}

/// Takes the next step. `home` is `None` if the cluster has no known endpoint; `served_away` is the destination of an
/// attempt that was just served away from home, if this step is about one. Returns what is to be reported.
pub fn step(
    active: &mut Option<Active>,
    home: Option<&Home>,
    traffic: &Traffic,
    served_away: Option<(&Locality, Tier)>,
    rules: &config::Failover,
    context: StepContext,
) -> Option<EventKind> {
    let now = context.now;
    match active.take() {
        None => {
            let (started, kind) = start(home?, traffic, served_away, rules, context)?;
            *active = Some(started);
            Some(kind)
        }
        Some(mut going) => {
            if let Some(kind) = end(&mut going, home, traffic, rules, &context) {
                return Some(kind);
            }
            // With all of home healthy, or hardly any traffic, the share says nothing about the destination.
            let home = home.filter(|home| home.healthy < home.endpoints && traffic.attempts >= rules.min_requests);
            let kind = home.and_then(|home| move_on(&mut going, home, traffic, rules, now));
            *active = Some(going);
            kind
        }
    }
}

fn start(
    home: &Home,
    traffic: &Traffic,
    served_away: Option<(&Locality, Tier)>,
    rules: &config::Failover,
    context: StepContext,
) -> Option<(Active, EventKind)> {
    let StepContext { now, troubled_since, .. } = context;
    // A share counts after a tenth of the window; before that it is too unreliable.
    let settled = now.saturating_sub(troubled_since) >= rules.window.millis() / 10;
    let enough = traffic.attempts >= rules.min_requests && settled;
    let all_lost = home.endpoints > 0 && home.healthy == 0;
    let (to, tier, share) = match (served_away, traffic.busiest()) {
        // Nothing at home is healthy: from now on all traffic goes away, and this attempt is the first of it.
        (Some((to, tier)), _) if all_lost => (to.clone(), tier, 1.0),
        (_, Some((to, tier, _))) if home.troubled && enough && context.exceeds_baseline(traffic.share(), rules) => {
            (to.clone(), *tier, traffic.share())
        }
        _ => return None,
    };
    let route = route(home, &home.locality, to, tier, share);
    let before = traffic.served_away();
    let active = Active {
        from: route.from.clone(),
        to: route.to.clone(),
        home_tier: home.tier,
        since: now,
        moved_at: now,
        last_away: now,
        requests_away: u64::from(before.attempts),
        errors_away: u64::from(before.errors),
        calm_since: None,
        tier,
        outpaced_since: None,
        reported_permille: permille(share),
        grown_since: None,
    };
    Some((active, EventKind::FailoverStarted(route)))
}

fn end(
    going: &mut Active,
    home: Option<&Home>,
    traffic: &Traffic,
    rules: &config::Failover,
    context: &StepContext,
) -> Option<EventKind> {
    let now = context.now;
    let because = match home {
        Some(home) if home.tier == going.home_tier => {
            let whole = home.healthy == home.endpoints;
            if !whole || (traffic.attempts > 0 && context.exceeds_baseline(traffic.share(), rules)) {
                going.calm_since = None;
                return None;
            }
            let calm = *going.calm_since.get_or_insert(now);
            if now.saturating_sub(calm) < rules.end_after.millis() {
                return None;
            }
            FailoverEnd::Recovered
        }
        _ => FailoverEnd::Topology,
    };
    Some(EventKind::FailoverEnded {
        from: going.from.clone(),
        to: going.to.clone(),
        seconds: seconds_between(going.since, going.last_away),
        requests_away: going.requests_away,
        errors_away: going.errors_away,
        destinations: vec![Destination {
            to: going.to.clone(),
            seconds: seconds_between(going.since, going.last_away),
            requests: going.requests_away,
            errors: going.errors_away,
        }],
        because,
        seconds_at_last: seconds_between(going.moved_at, going.last_away),
    })
}

fn move_on(
    going: &mut Active,
    home: &Home,
    traffic: &Traffic,
    rules: &config::Failover,
    now: Millis,
) -> Option<EventKind> {
    // Zones with even shares take turns in the lead: only a clear lead, or another tier, makes a new destination.
    let outpaced = |(to, tier, count): &&(Locality, Tier, Count)| {
        *to != going.to && (*tier != going.tier || served(count) / 2 >= traffic.served_by(&going.to))
    };
    let Some((to, tier, _)) = traffic.busiest().filter(outpaced) else {
        going.outpaced_since = None;
        return grow(going, home, traffic, rules, now);
    };
    let since = *going.outpaced_since.get_or_insert(now);
    if now.saturating_sub(since) < rules.window.millis() {
        return None;
    }
    going.outpaced_since = None;
    going.tier = *tier;
    let left = (std::mem::replace(&mut going.to, to.clone()), seconds_between(going.moved_at, now));
    going.moved_at = now;
    (going.reported_permille, going.grown_since) = (permille(traffic.share()), None);
    let route = route(home, &going.from, to.clone(), *tier, traffic.share());
    Some(EventKind::FailoverChanged { route, left: Some(left) })
}

/// Reports that at least twice the reported share has gone away for a whole window: another endpoint at home was lost.
fn grow(
    going: &mut Active,
    home: &Home,
    traffic: &Traffic,
    rules: &config::Failover,
    now: Millis,
) -> Option<EventKind> {
    // With nothing at home healthy, all traffic goes away from now on.
    let all_lost = home.healthy == 0 && going.reported_permille < 900;
    let share = if all_lost { 1_000 } else { permille(traffic.share()) };
    let is_more =
        share >= going.reported_permille.saturating_mul(2) && share >= going.reported_permille.saturating_add(100);
    if !is_more && !all_lost {
        going.grown_since = None;
        return None;
    }
    let since = *going.grown_since.get_or_insert(now);
    if now.saturating_sub(since) < rules.window.millis() && !all_lost {
        return None;
    }
    (going.reported_permille, going.grown_since) = (share, None);
    let share = if all_lost { 1.0 } else { traffic.share() };
    let route = route(home, &going.from, going.to.clone(), going.tier, share);
    Some(EventKind::FailoverChanged { route, left: None })
}

fn permille(share: f64) -> u32 {
    (share * 1_000.0) as u32
}

fn route(home: &Home, from: &Locality, to: Locality, tier: Tier, share: f64) -> Route {
    Route {
        from: from.clone(),
        to,
        tier,
        share,
        cause: home.cause,
        healthy_at_home: home.healthy,
        endpoints_at_home: home.endpoints,
    }
}
