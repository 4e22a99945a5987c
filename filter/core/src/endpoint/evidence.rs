//! Input and output of an endpoint's rotation: the evidence about it, the context in which the evidence is judged, and
//! the transitions that follow. The rules are in [`super::rotation`].

use super::reason::{Basis, BlockedReason, EjectReason};
use super::rule::Rule;
use super::streak::StreakKind;
use crate::config::OutlierDetection;
use crate::encoded;
use crate::time::Millis;

/// How long to wait for Envoy's answer before the rules decide, in milliseconds.
pub(crate) const ANSWER_WAIT_MS: Millis = 3_000;

/// Evidence about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Traffic: a streak reached its threshold at `at`.
    Threshold {
        /// The streak's kind.
        kind: StreakKind,
        /// Whether the streak reaches it for the first time.
        first: bool,
        /// When the streak reached it; without a witness, also when the endpoint was ejected.
        at: Millis,
    },
    /// Traffic: a streak reached its threshold unless an attempt in progress has broken it.
    UnconfirmedThreshold {
        /// The streak's kind.
        kind: StreakKind,
        /// Whether the streak reaches it for the first time.
        first: bool,
    },
    /// Traffic: the unconfirmed streak was broken.
    StreakBroken,
    /// Envoy's counts of the host: successes came between its failures, so the threshold was probably not reached.
    StreakDoubtful,
    /// Traffic: an attempt went to the endpoint.
    Attempt {
        /// When the attempt started.
        started: Millis,
    },
    /// Envoy's list of hosts.
    Listed(Listed),
    /// The endpoint is no host of the cluster any more, or another host has its address.
    Gone(Basis),
    /// Envoy's count of ejections: the cause of the ejection that waits for one, if the count shows it.
    Cause(Option<EjectReason>),
    /// Envoy's count of ejections: the endpoint was back and was ejected again.
    EjectedAgain {
        /// Why Envoy ejected it.
        reason: EjectReason,
        /// The earliest time at which it did.
        since: Millis,
    },
    /// Envoy's count of ejections: up to this time, no endpoint was ejected unseen.
    NoneUnseen {
        /// When the count was asked for.
        counted: Millis,
    },
    /// Time passed, and Envoy's last list is at least [`ANSWER_WAIT_MS`] old.
    Clock,
    /// Time passed, and an answer may have been missing for too long.
    AnswerMissing,
}

/// What Envoy counted of a host since it created it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounts {
    /// Requests that were sent to it or failed before they were.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
}

encoded!(struct HostCounts { requests, errors });

/// An endpoint in Envoy's list of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whether the outlier detector currently ejects it.
    pub ejected: bool,
    /// When the list was asked for.
    pub asked: Millis,
    /// When the list before was asked for; 0 if there was none. It showed as ejected what is known as ejected, and
    /// nothing else.
    pub previous: Millis,
    /// Its counts; `None` if the answer does not tell, or tells those of several hosts together.
    pub counts: Option<HostCounts>,
    /// Endpoints of the cluster that were already ejected or are ejected in this list.
    pub cluster_ejected: u32,
}

/// What the rotation of one endpoint needs to know about its cluster. Counting costs time, so it is done on demand.
pub trait ClusterView {
    /// How many endpoints are ejected.
    fn ejected(&self) -> u32;
    /// How many endpoints the cluster has.
    fn endpoints(&self) -> u32;
    /// The largest number of endpoints that were recently ejected at the same time, as of `now`.
    fn recent_max_ejected(&self, now: Millis) -> u32;
    /// Whether ejections are known to end before their time: a passed health check ends them in such a cluster.
    fn ends_early(&self) -> bool;
}

/// What a decision depends on besides the endpoint itself.
#[derive(Clone, Copy)]
pub struct RotationContext<'a> {
    /// The current time.
    pub now: Millis,
    /// The cluster's outlier detection settings.
    pub rules: &'a OutlierDetection,
    /// How Envoy enforces them.
    pub rule: &'a Rule,
    /// The endpoint's cluster.
    pub cluster: &'a dyn ClusterView,
    /// Whether there is a witness, so that Envoy itself can be asked.
    pub has_witness: bool,
    /// Until when Envoy may have chosen ejected endpoints because the cluster was in panic; 0 if it never was.
    pub panic_until: Millis,
    /// Whether the endpoint's detector has an unconfirmed crossing.
    pub has_unconfirmed: bool,
    /// Whether Envoy keeps counts of ejections for the cluster.
    pub keeps_counts: bool,
    /// When the counts were last asked for, with or without an answer.
    pub counts_asked: Millis,
    /// Whether successes are seen, so that the rules alone may decide.
    pub sees_successes: bool,
}

impl RotationContext<'_> {
    /// Whether one more ejection than `ejected` would exceed `maxEjectionPercent`.
    pub(super) fn is_capped(&self, ejected: u32) -> bool {
        if ejected == 0 && self.rule.always_ejects_one {
            return false;
        }
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

/// What changed. The cluster acts on the transitions in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The endpoint was ejected.
    Ejected {
        /// Why Envoy ejected it.
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
        /// When it was ejected.
        since: Millis,
        /// The number of the ejection that ended.
        ejection: u32,
    },
    /// An ejected endpoint left the cluster.
    Removed {
        /// How that is known.
        basis: Basis,
        /// When it was ejected.
        since: Millis,
        /// The number of the ejection.
        ejection: u32,
    },
    /// The threshold led to no ejection, so an unconfirmed crossing is dropped.
    Refuted,
    /// Envoy certainly kept the endpoint in rotation although the threshold was reached.
    Blocked(BlockedReason),
    /// Traffic shows something newer than Envoy's last answer, so Envoy should be asked again at once.
    ViewStale,
}
