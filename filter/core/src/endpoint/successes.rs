//! What Envoy's lists show of an endpoint's successes, where the filter sees only attempts that failed.
//!
//! In the position `lean` a streak is at most as long as the failures that were seen. It is certain if, by Envoy's
//! counts, no success came since its first failure.

use super::detector::Detector;
use super::streak::StreakKind;
use crate::encoded;
use crate::time::{Micros, Millis};

/// An endpoint's successes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Successes {
    /// Envoy's count, and when it was asked for it; `None` before the first list.
    last: Option<(u64, Millis)>,
    /// When the last list was asked for that showed more of them than the one before, or was the first.
    grown_at: Millis,
    /// Whether attempts had failed up to the last list.
    was_failing: bool,
    /// Whether successes came after some of the failures in a row, and further failures after them.
    pub is_intermittent: bool,
}

encoded!(struct Successes { last, grown_at, was_failing, is_intermittent });

impl Successes {
    /// Takes in Envoy's `count` in a list that was asked for at `asked`.
    pub fn take_in(&mut self, detector: &mut Detector, count: u64, asked: Millis) {
        let before = self.last.replace((count, asked));
        let (has_grown, since) = before.map_or((true, 0), |(before, at)| (count > before, at));
        self.is_intermittent = has_grown && self.was_failing;
        if has_grown {
            self.grown_at = asked;
            // One of them came later than that.
            detector.on_success_after(since.saturating_mul(1_000));
        }
        self.was_failing = detector.is_failing();
    }

    /// Whether all of them came before the endpoint's last failure. Where every attempt is seen, no list needs to show
    /// that.
    pub fn came_before_failures(&self, detector: &Detector) -> bool {
        self.last.is_none() || StreakKind::ALL.iter().any(|kind| detector.failed_since(*kind, self.since()) > 0)
    }

    /// Whether a streak of this kind has certainly reached its threshold.
    pub fn prove(&self, detector: &Detector, kind: StreakKind, threshold: u32) -> bool {
        threshold > 0 && self.last.is_some() && detector.failed_since(kind, self.since()) >= threshold
    }

    /// Since when there was certainly none.
    fn since(&self) -> Micros {
        self.grown_at.saturating_mul(1_000)
    }
}
