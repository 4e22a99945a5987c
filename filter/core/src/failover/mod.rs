//! When a cluster's traffic counts as failed over to another locality, when the failover changes, and when it ends.
//!
//! Home is the nearest tier in which the cluster has any endpoint, in rotation or not, or had one that served within
//! the last hour; away is anything farther. While every endpoint at home is in rotation there is no failover, however
//! shares wander. A failover starts when home is in trouble and more goes away than usually does, or at once when
//! nothing at home is in rotation and anything is answered away. It changes when another locality receives most for a
//! whole window, or when clearly more goes away. It ends when home is whole and the share has been the usual one for a
//! while, or when home has had no endpoints for an hour. The thresholds come from [`crate::config::Failover`].
//!
//! Not here: which endpoints are in rotation and where traffic went; both come from [`crate::cluster`].

mod active;
mod destinations;
mod home;
mod phase;
mod usual;
mod window;

use crate::config;
use crate::event::EventKind;
use crate::locality::{Locality, Tier};
use crate::time::Millis;
pub use active::Active;
pub use destinations::Before;
pub use home::{Home, Traffic};
pub use phase::Phase;
pub use usual::{Measured, Usual};
pub use window::{Count, Window};

/// After trouble began, a share is not believed before this time has passed, in milliseconds, whatever the window.
const LEAST_SETTLING_MS: Millis = 1_000;

/// What a step depends on besides home and traffic.
#[derive(Clone, Copy, Debug)]
pub struct StepContext<'a> {
    /// The current time.
    pub now: Millis,
    /// Since when home has not been whole; shares are measured from here on.
    pub troubled_since: Millis,
    /// What usually goes away from home.
    pub usual: Usual,
    /// Whether the traffic is known up to now. What Envoy's lists tell of it ends with the last of them, and may be a
    /// moment's.
    pub is_current: bool,
    /// What went away already.
    pub before: Before<'a>,
}

/// Takes the next step. `home` is `None` if the cluster has no known endpoint; `answered_away` is the destination of an
/// attempt that was just answered away from home, well or not, if this step is about one. Returns what is to be
/// reported.
pub fn step(
    active: &mut Option<Active>,
    home: Option<&Home>,
    traffic: &Traffic,
    answered_away: Option<(&Locality, Tier)>,
    rules: &config::Failover,
    context: StepContext<'_>,
) -> Option<EventKind> {
    let now = context.now;
    let Some(mut going) = active.take() else {
        let (mut started, kind) = start(home?, traffic, answered_away, rules, context)?;
        if let Some((to, _)) = answered_away {
            started.note_answered(to, now);
        }
        *active = Some(started);
        return Some(kind);
    };
    if let Some((to, _)) = answered_away {
        going.note_answered(to, now);
    }
    if let Some(kind) = going.end(home, traffic, context.usual, rules, now) {
        return Some(kind);
    }
    // With home whole, or hardly any traffic, the share says nothing about the destination.
    let home = home.filter(|home| home.cause.is_some() && traffic.attempts >= rules.min_requests);
    let kind = home.and_then(|home| going.change(home, traffic, rules, now));
    *active = Some(going);
    kind
}

fn start(
    home: &Home,
    traffic: &Traffic,
    answered_away: Option<(&Locality, Tier)>,
    rules: &config::Failover,
    context: StepContext<'_>,
) -> Option<(Active, EventKind)> {
    home.cause?;
    let busiest = traffic.busiest().map(|(to, tier, _)| (to, *tier));
    let (to, share) = if home.is_lost() {
        // From now on all traffic goes away; this attempt, or those in the sums, are the first of it. Where nothing
        // goes away otherwise, so are those in sums that were begun before the trouble.
        let early = || home::busiest_of(context.before.listed).filter(|_| matches!(context.usual, Usual::Nothing(_)));
        let place = answered_away.or(busiest).or_else(|| early().map(|(to, tier, _)| (to, *tier)));
        (place?, 1.0)
    } else {
        let settling = LEAST_SETTLING_MS.max(rules.window.millis() / 10);
        let settled = context.now.saturating_sub(context.troubled_since) >= settling;
        let enough = settled && context.is_current && traffic.attempts >= rules.min_requests;
        let beyond = rules.start_share.max(context.usual.margin(traffic.attempts));
        let is_more = enough && traffic.share() >= context.usual.share() + beyond;
        // Where nothing away answers well, traffic goes there all the same.
        let place = busiest.or_else(|| traffic.most_tried().map(|(to, tier, _)| (to, *tier)));
        (place.filter(|_| is_more)?, traffic.share())
    };
    // Nothing may have gone away since the sums were begun that show the failover.
    let last_away = traffic.last_away.filter(|_| answered_away.is_none()).unwrap_or(context.now);
    Some(Active::start(home, to, share, context.before, (context.now, last_away)))
}
