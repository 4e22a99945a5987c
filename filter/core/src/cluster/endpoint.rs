//! An endpoint of a cluster that is failing or ejected, or was recently.

use crate::config::OutlierDetection;
use crate::encoded;
use crate::endpoint::detector::Detector;
use crate::endpoint::reason::BlockedReason;
use crate::endpoint::rotation::Rotation;
use crate::endpoint::streak::StreakKind;
use crate::endpoint::successes::Successes;
use crate::event::LastAttempt;
use crate::locality::Locality;
use crate::time::Millis;

/// A count asked for this long after a threshold was reached includes its detection, in milliseconds.
pub(super) const DETECTS_WITHIN_MS: Millis = 100;

/// An endpoint that has failed or was ejected: its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) locality: Locality,
    pub(super) workload: Option<String>,
    pub(super) detector: Detector,
    pub(super) rotation: Rotation,
    pub(super) reported: Reported,
    pub(super) successes: Successes,
    /// When an attempt last went to the endpoint or its rotation last changed.
    pub(super) seen: Millis,
    /// When the list was asked for that first did not have it, if its departure is held back.
    pub(super) left: Option<Millis>,
}

encoded!(struct Endpoint { address, locality, workload, detector, rotation, reported, successes, seen, left });

/// A streak that reached its threshold by the rules, and may be none to Envoy: a cluster can have an idea of its own of
/// what an error is (`HttpProtocolOptions.outlier_detection.error_matcher`), which the filter cannot see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldStreak {
    pub(super) kind: StreakKind,
    pub(super) threshold: u32,
    pub(super) last: LastAttempt,
    pub(super) since: Millis,
    /// Envoy's count of detections before it; `None` if it waits for the cluster's rule.
    pub(super) detected: Option<u64>,
    /// Why Envoy kept the endpoint in rotation, if its list has shown that it did.
    pub(super) blocked: Option<BlockedReason>,
}

encoded!(struct HeldStreak { kind, threshold, last, since, detected, blocked });

/// What was already reported about an endpoint, or is kept back until it is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    /// The last attempt of the detector's unconfirmed crossing.
    pub(super) unconfirmed: Option<LastAttempt>,
    /// The kind of the streak that was reported last, and when.
    pub(super) streak: Option<(StreakKind, Millis)>,
    /// A streak whose report waits for Envoy's rule or its count of detections.
    pub(super) held: Option<HeldStreak>,
    /// Whether Envoy's count showed that it did not detect the last streak.
    pub(super) is_undetected: bool,
    /// Whether it was reported that Envoy kept the endpoint in rotation. Cleared when a new streak reaches its
    /// threshold while there is a witness.
    pub(super) blocked: bool,
}

encoded!(struct Reported { unconfirmed, streak, held, is_undetected, blocked });

impl Endpoint {
    /// Whether the endpoint is ejected.
    pub(super) fn is_ejected(&self) -> bool {
        self.rotation.ejection().is_some()
    }

    /// Whether its last attempts failed, as far as is known.
    fn is_failing(&self) -> bool {
        self.detector.is_failing() && self.successes.came_before_failures(&self.detector)
    }

    /// Whether a streak has certainly reached its threshold, where successes are seen in Envoy's counts only.
    pub(super) fn has_streak(&self, rules: &OutlierDetection) -> bool {
        StreakKind::ALL.iter().any(|kind| self.successes.prove(&self.detector, *kind, kind.threshold(rules)))
    }

    /// Whether the streak that is held back is certain, by the same counts.
    pub(super) fn is_held_certain(&self) -> bool {
        let held = self.reported.held.as_ref();
        held.is_some_and(|held| self.successes.prove(&self.detector, held.kind, held.threshold))
    }

    /// Drops the streak that is held back. Further failures may make another.
    pub(super) fn drop_held(&mut self) {
        if let Some(held) = self.reported.held.take() {
            self.detector.forget_crossing(held.kind);
            self.reported.is_undetected = true;
        }
    }

    /// Forgets the past: another host has the address.
    pub(super) fn start_over(&mut self, locality: &Locality) {
        self.locality = locality.clone();
        self.left = None;
        (self.detector, self.rotation, self.reported, self.successes) = Default::default();
    }

    /// Whether the endpoint is ejected, failing, or waiting for a decision.
    pub(super) fn is_troubled(&self) -> bool {
        self.is_failing() || self.is_ejected() || self.rotation.is_undecided()
    }
}

/// The number of items, which always fits a `u32` here.
pub(super) fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
