//! What goes into an endpoint's rotation and what comes out: the evidence that is seen of it, the context that it is
//! judged in, and the transitions that it leads to. The rules are in [`super::rotation`].

use super::reason::{Basis, BlockedReason, EjectReason};
use super::streak::StreakKind;
use crate::config::OutlierDetection;
use crate::time::Millis;

/// How long Envoy's answer is waited for before the rules decide, in milliseconds.
pub(crate) const ANSWER_WAIT_MS: Millis = 3_000;

/// What is seen of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Traffic: a streak reached its threshold at `at`.
    Threshold {
        /// Which streak.
        kind: StreakKind,
        /// Whether the streak had not reached it before.
        first: bool,
        /// When; that is also when the endpoint is ejected where nobody can be asked.
        at: Millis,
    },
    /// Traffic: a streak reached its threshold unless an attempt in progress has broken it.
    UnconfirmedThreshold {
        /// Which streak.
        kind: StreakKind,
        /// Whether the streak had not reached it before.
        first: bool,
    },
    /// Traffic: the unconfirmed streak was broken.
    StreakBroken,
    /// Traffic: an attempt that started at this time went to the endpoint.
    Attempt {
        /// When.
        started: Millis,
    },
    /// Envoy's list of hosts.
    Listed(Listed),
    /// Envoy's count of ejections: the cause of the ejection that waits for one, as far as the count tells it.
    Cause(Option<EjectReason>),
    /// Envoy's count of ejections: the endpoint was back and was ejected again.
    EjectedAgain(EjectReason),
    /// Envoy's count of ejections: up to this time, no endpoint was ejected unseen.
    NoneUnseen {
        /// When the count was asked for.
        counted: Millis,
    },
    /// Time passed, and Envoy's last list is not younger than [`ANSWER_WAIT_MS`].
    Clock,
    /// Time passed, and an answer may be missing for too long.
    AnswerMissing,
}

/// An endpoint in Envoy's list of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whether the outlier detector holds it ejected.
    pub ejected: bool,
    /// When the list was asked for.
    pub asked: Millis,
    /// Requests that Envoy sent to it.
    pub requests: u64,
    /// Endpoints of the cluster that were ejected before or are in this list.
    pub cluster_ejected: u32,
}

/// The cluster as far as the rotation of one of its endpoints depends on it. Counting is not free, so it is done on
/// demand.
pub trait ClusterView {
    /// Endpoints that are ejected.
    fn ejected(&self) -> u32;
    /// All endpoints.
    fn endpoints(&self) -> u32;
    /// The most endpoints that were ejected at the same time recently, as of `now`.
    fn recent_max_ejected(&self, now: Millis) -> u32;
}

/// What the decision depends on besides the endpoint.
#[derive(Clone, Copy)]
pub struct RotationContext<'a> {
    /// The time.
    pub now: Millis,
    /// The cluster's outlier detection.
    pub rules: &'a OutlierDetection,
    /// The endpoint's cluster.
    pub cluster: &'a dyn ClusterView,
    /// Whether Envoy itself can be asked.
    pub has_witness: bool,
    /// Until when Envoy may have chosen ejected endpoints, because the cluster was in panic; 0 when it never was.
    pub panic_until: Millis,
    /// Whether the endpoint's detector has an unconfirmed crossing.
    pub has_unconfirmed: bool,
    /// Whether Envoy keeps counts of ejections for the cluster.
    pub keeps_counts: bool,
    /// When the counts were last asked for, whatever came of it.
    pub counts_asked: Millis,
}

impl RotationContext<'_> {
    /// Whether one more ejection than `ejected` would exceed `maxEjectionPercent`.
    pub(super) fn is_capped(&self, ejected: u32) -> bool {
        let ejected = ejected.saturating_add(1);
        let percent = u64::from(ejected).saturating_mul(100);
        let cap = u64::from(self.rules.max_ejection_percent.min(100));
        percent > u64::from(self.cluster.endpoints().max(ejected)).saturating_mul(cap)
    }

    /// Whether Envoy may have chosen ejected endpoints at `at`.
    pub(super) fn was_in_panic(&self, at: Millis) -> bool {
        at < self.panic_until
    }
}

/// What changed, for the cluster to act upon in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The endpoint was ejected.
    Ejected {
        /// Why.
        reason: EjectReason,
        /// How that is known.
        basis: Basis,
        /// The number of the ejection, from 1.
        ejection: u32,
    },
    /// The endpoint returned to rotation.
    Returned {
        /// How that is known.
        basis: Basis,
        /// When it had been ejected.
        since: Millis,
        /// The number of the ejection that ended.
        ejection: u32,
    },
    /// The threshold led to no ejection; an unconfirmed crossing is dropped.
    Refuted,
    /// Envoy surely kept the endpoint in rotation although the threshold was reached.
    Blocked(BlockedReason),
    /// Envoy's last answer is older than what traffic shows, so it should be asked again at once.
    ViewStale,
}
