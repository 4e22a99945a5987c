//! One proxy's failover, one destination after the other. Events tell when more goes away, never that less does: the
//! share at the beginning is that of the whole time only where every endpoint at home was out for as long.

use std::collections::{BTreeSet, HashMap};

use filter_core::time::Millis;

use super::logs::event::{Kind, Name, Received, Route, millis};
use super::logs::input::{Input, ProxyIndex};
use super::model::Destination;
use super::observation::Observation;
use super::span::Span;

/// Envoy tells its workers of a return up to a second late; until then all goes away.
const TOLD_LATE_MS: Millis = 1_000;

/// The end of a failover is told so long after the last request that went away, or later: `failover.window` and
/// `failover.endAfter`, by default 10 s each.
pub(super) const TOLD_AFTER_MS: Millis = 20_000;

/// Why a failover ended that is told at once.
const TOPOLOGY: &str = "topology";

/// How a failover ended that the proxy did not see the end of.
pub(super) const PROXY_RESTARTED: &str = "proxy_restarted";

/// How long after the last request away the end of a failover is told, by those of which the input has both ends.
pub(super) fn told_after(input: &Input) -> Option<Millis> {
    let mut started: HashMap<(ProxyIndex, &Name), Millis> = HashMap::new();
    let mut least = None;
    for record in &input.records {
        let (at, key) = (record.event.at, (record.proxy, &record.event.cluster));
        match &record.event.kind {
            Kind::FailoverStarted(_) => drop(started.insert(key, at)),
            Kind::FailoverEnded { seconds, because, .. } => {
                let late = started.remove(&key).map(|from| at.saturating_sub(from).saturating_sub(millis(*seconds)));
                least = late.filter(|_| **because != *TOPOLOGY).into_iter().chain(least).min();
            }
            _ => {}
        }
    }
    least
}

/// When the last request went away, by the end of a failover that is told at `at`: home is watched for a while before;
/// where it has changed, that is told at once.
pub(super) fn last_away(at: Millis, because: &str, told_after: Millis) -> Millis {
    if because == TOPOLOGY { at } else { at.saturating_sub(told_after) }
}

/// One proxy's failover.
#[derive(Debug)]
pub(super) struct ProxyFailover {
    /// From the start to the last request that was served away.
    pub(super) seen: Observation,
    /// The locality that lost.
    pub(super) from: Name,
    /// What kept traffic from home, by its beginning and its changes.
    pub(super) causes: BTreeSet<Name>,
    /// Where to, in order of time.
    destinations: Vec<DestinationTrace>,
    /// What each locality received; empty while it has not ended.
    pub(super) received: Vec<Received>,
    /// Requests served away.
    pub(super) requests: u64,
    /// Errors among them.
    pub(super) errors: u64,
    /// How it ended; empty while it has not.
    pub(super) because: Name,
}

/// A locality that received the traffic for a time.
#[derive(Debug)]
struct DestinationTrace {
    to: Name,
    tier: Name,
    share: f64,
    open: bool,
    span: Span,
    home: Home,
    /// When the first endpoint at home came back, or requests went nowhere.
    until: Option<Millis>,
}

/// What is left at home as it begins to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Every endpoint is out, by its own event, so that its return will be told.
    AllOut,
    /// Something, or it is not known.
    Other,
}

impl ProxyFailover {
    pub(super) fn along(seen: Observation, route: &Route, at: Millis, home: Home) -> Self {
        let mut failover = Self {
            seen,
            from: route.from.clone(),
            causes: BTreeSet::new(),
            // Nearly all have one, and a fleet has a failover for each of its proxies.
            destinations: Vec::with_capacity(1),
            received: Vec::new(),
            requests: 0,
            errors: 0,
            because: Name::default(),
        };
        failover.turn(route, at, home);
        failover
    }

    /// Where to, in order of time.
    pub(super) fn destinations(&self) -> impl Iterator<Item = Destination> {
        self.destinations.iter().map(DestinationTrace::destination)
    }

    /// Whether its end told what it was.
    pub(super) fn is_told_in_full(&self) -> bool {
        !self.because.is_empty() && *self.because != *PROXY_RESTARTED
    }

    /// Goes on to another destination.
    pub(super) fn turn(&mut self, route: &Route, at: Millis, home: Home) {
        self.leave(at);
        if !route.cause.is_empty() {
            self.causes.insert(route.cause.clone());
        }
        self.destinations.push(DestinationTrace {
            to: route.to.clone(),
            tier: route.tier.clone(),
            share: route.share,
            open: true,
            span: Span::at(at),
            home,
            until: None,
        });
    }

    /// From now on, not all goes where it went.
    pub(super) fn may_shrink(&mut self, at: Millis) {
        if let Some(last) = self.destinations.last_mut() {
            last.until.get_or_insert(at);
        }
    }

    /// Ends with the last request that was served away. A move is reported when it has lasted for a while, which can be
    /// later than that; it is then no part of the failover.
    pub(super) fn end(&mut self, at: Millis) {
        self.seen.end(at);
        while self.destinations.len() > 1 && self.destinations.last().is_some_and(|last| last.span.from >= at) {
            self.destinations.pop();
        }
        self.leave(at);
    }

    /// Is not over: its end, and what that tells, is later than what is wanted.
    pub(super) fn reopen(&mut self) {
        self.seen.open = true;
        if let Some(last) = self.destinations.last_mut() {
            last.open = true;
        }
        self.received.clear();
        (self.requests, self.errors) = (0, 0);
        self.because = Name::default();
    }

    /// Is open until then.
    pub(super) fn extend(&mut self, at: Millis) {
        self.seen.span = Span::new(self.seen.span.from, at);
        self.extend_last(at);
    }

    /// Ends at the last destination.
    fn leave(&mut self, at: Millis) {
        self.extend_last(at);
        if let Some(last) = self.destinations.last_mut() {
            last.open = false;
        }
    }

    fn extend_last(&mut self, at: Millis) {
        if let Some(last) = self.destinations.last_mut() {
            last.span = Span::new(last.span.from, at);
        }
    }
}

impl DestinationTrace {
    fn destination(&self) -> Destination {
        let to_the_end = self.until.is_none_or(|until| until.saturating_add(TOLD_LATE_MS) >= self.span.to);
        Destination {
            to: self.to.to_string(),
            tier: self.tier.to_string(),
            share: self.share,
            is_peak: self.share > 0.0 && !(self.home == Home::AllOut && to_the_end),
            open: self.open,
            span: self.span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_to_one_place_keeps_no_room_for_more() {
        let input = Input { kubernetes_clusters: vec![String::new()], ..Input::default() };
        let (proxy, _) = input.places().next().expect("there is one");
        let failover = ProxyFailover::along(Observation::beginning(proxy, 0), &Route::default(), 0, Home::Other);
        assert_eq!(failover.destinations.capacity(), 1);
    }
}
