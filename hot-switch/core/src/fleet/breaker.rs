//! The circuit breaker: much of the mesh failing at once is a fault of the mesh.

use std::collections::BTreeMap;

use super::limits::{Limits, MINUTE};
use crate::Moment;

/// It closes by itself when for this long no more proxies fail than may.
const CLOSES_AFTER: Moment = Moment::from_secs(600);

/// A proxy that fails.
#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Moment,
    last: Moment,
    /// A person has seen it.
    seen: bool,
}

/// The breaker.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker {
    /// Proxies that were told to fail within the last minute.
    failing: BTreeMap<String, Failing>,
    /// When too many failed last, while it is open.
    open: Option<Moment>,
}

impl Breaker {
    pub(super) fn fails(&mut self, now: Moment, pod: &str) {
        self.failing.entry(pod.to_owned()).or_insert(Failing { since: now, last: now, seen: false }).last = now;
    }

    pub(super) fn is_open(&mut self, now: Moment, proxies: usize, limits: &Limits) -> bool {
        self.failing.retain(|_, failing| now.saturating_sub(failing.last) < MINUTE);
        let is_new = |failing: &&Failing| !failing.seen && now.saturating_sub(failing.since) < MINUTE;
        let failing = self.failing.values().filter(is_new).count();
        let share_exceeded = failing.saturating_mul(100) > proxies.saturating_mul(limits.breaker_percent);
        if failing >= limits.breaker_at_least && share_exceeded {
            self.open = Some(now);
        } else if self.open.is_some_and(|last| now.saturating_sub(last) >= CLOSES_AFTER) {
            self.open = None;
        }
        self.open.is_some()
    }

    /// A person closes it: those that fail now are not held against the mesh again.
    pub(super) fn close(&mut self) {
        self.open = None;
        for failing in self.failing.values_mut() {
            failing.seen = true;
        }
    }
}
