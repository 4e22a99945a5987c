//! One proxy's failover, leg by leg. Events tell where a leg begins and when more goes away, never that less does: the
//! share that began a leg is that of all of it only where every endpoint at home was out for as long.

use std::collections::BTreeSet;

use filter_core::time::Millis;

use super::logs::event::{Name, Received, Route};
use super::model::Destination;
use super::span::Span;
use super::trace::Observation;

/// Envoy tells its workers of a return up to a second late; until then all goes away.
const TOLD_LATE_MS: Millis = 1_000;

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
    legs: Vec<Leg>,
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
struct Leg {
    to: String,
    tier: String,
    share: f64,
    open: bool,
    span: Span,
    home: Home,
    /// When the first endpoint at home came back, or requests went nowhere.
    until: Option<Millis>,
}

/// What is left at home as a leg begins.
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
            legs: Vec::new(),
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
        self.legs.iter().map(Leg::destination)
    }

    /// Goes on to another destination.
    pub(super) fn turn(&mut self, route: &Route, at: Millis, home: Home) {
        self.leave(at);
        if !route.cause.is_empty() {
            self.causes.insert(route.cause.clone());
        }
        self.legs.push(Leg {
            to: route.to.to_string(),
            tier: route.tier.to_string(),
            share: route.share,
            open: true,
            span: Span::at(at),
            home,
            until: None,
        });
    }

    /// From now on, not all goes where it went.
    pub(super) fn may_shrink(&mut self, at: Millis) {
        if let Some(last) = self.legs.last_mut() {
            last.until.get_or_insert(at);
        }
    }

    /// Ends with the last request that was served away. A move is reported when it has lasted for a while, which can be
    /// later than that; it is then no part of the failover.
    pub(super) fn end(&mut self, at: Millis) {
        self.seen.end(at);
        while self.legs.len() > 1 && self.legs.last().is_some_and(|last| last.span.from >= at) {
            self.legs.pop();
        }
        self.leave(at);
    }

    /// Is open until then.
    pub(super) fn extend(&mut self, at: Millis) {
        self.seen.span = Span::new(self.seen.span.from, at);
        self.extend_last(at);
    }

    /// Ends at the last destination.
    fn leave(&mut self, at: Millis) {
        self.extend_last(at);
        if let Some(last) = self.legs.last_mut() {
            last.open = false;
        }
    }

    fn extend_last(&mut self, at: Millis) {
        if let Some(last) = self.legs.last_mut() {
            last.span = Span::new(last.span.from, at);
        }
    }
}

impl Leg {
    fn destination(&self) -> Destination {
        let to_the_end = self.until.is_none_or(|until| until.saturating_add(TOLD_LATE_MS) >= self.span.to);
        Destination {
            to: self.to.clone(),
            tier: self.tier.clone(),
            share: self.share,
            is_peak: self.share > 0.0 && !(self.home == Home::AllOut && to_the_end),
            open: self.open,
            span: self.span,
        }
    }
}
