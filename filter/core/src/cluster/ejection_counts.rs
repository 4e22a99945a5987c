//! Envoy's own count of a cluster's ejections against those that were reported: the difference was not seen.
//!
//! Envoy's list of hosts shows who is ejected now. An endpoint that returned and was ejected again between two lists
//! seems never to have been back; but Envoy also counts each ejection that it enforces, by reason, and never forgets
//! one. What it had counted before anybody watched is the baseline: whatever exceeds it was not seen.
//!
//! Not here: which endpoint it was, [`super::on_ejection_counts`].

use crate::admin::stats::Ejections;
use crate::endpoint::reason::EjectReason;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// The time between two questions because of a recheck, in milliseconds, and how many are asked before they become
/// rare.
const RECHECK_INTERVAL_MS: Millis = 100;
const FREQUENT_RECHECKS: u32 = 4;

/// Envoy's count, what was reported, and by how much the two may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EjectionCounts {
    reported: Ejections,
    reported_at: Millis,
    counted: Ejections,
    /// When the count that came last was asked for; 0 when none came.
    pub(super) answer_asked: Millis,
    /// When a count was last asked for, whatever came of it; 0 when never.
    pub(super) last_asked: Millis,
    /// How many rechecks in a row showed nothing.
    vain_rechecks: u32,
    /// By how much Envoy's count exceeds what was reported when nothing is unseen; `None` when Envoy does not tell it.
    baseline: Option<[i64; EjectReason::ALL.len()]>,
}

impl EjectionCounts {
    /// Whether Envoy keeps a count.
    pub(super) fn is_kept(&self) -> bool {
        self.baseline.is_some()
    }

    /// An ejection is reported.
    pub(super) fn record(&mut self, reason: EjectReason, now: Millis) {
        self.reported.add(reason, 1);
        self.reported_at = now;
        self.vain_rechecks = 0;
    }

    /// Whether Envoy's count includes all that was reported.
    pub(super) fn is_newest(&self) -> bool {
        self.reported_at <= self.answer_asked
    }

    /// Takes in Envoy's count, asked for at `asked`. The first one is the baseline, also after it started over (the
    /// cluster was removed and added again).
    pub(super) fn observe(&mut self, counted: Option<Ejections>, asked: Millis) {
        (self.answer_asked, self.last_asked) = (asked, asked);
        match counted {
            Some(counted) => {
                let started_over = counted.diff(&self.counted).iter().any(|more| *more < 0);
                let baseline = self.baseline.filter(|_| !started_over);
                self.baseline = Some(baseline.unwrap_or_else(|| counted.diff(&self.reported)));
                self.counted = counted;
            }
            None => self.baseline = None,
        }
    }

    /// Ejections that Envoy counted and that were not reported; below zero when more were reported since.
    pub(super) fn unseen(&self) -> i64 {
        self.unseen_by_reason().iter().fold(0, |sum, unseen| sum.saturating_add(*unseen))
    }

    /// The reason of all that is unseen, if it is only one.
    pub(super) fn only_reason(&self) -> Option<EjectReason> {
        let unseen = self.unseen_by_reason();
        let mut reasons = EjectReason::ALL.into_iter().zip(unseen).filter(|(_, unseen)| *unseen != 0);
        match (reasons.next(), reasons.next()) {
            (Some((reason, unseen)), None) if unseen > 0 => Some(reason),
            _ => None,
        }
    }

    /// A recheck showed nothing.
    pub(super) fn record_vain_recheck(&mut self) {
        self.vain_rechecks = self.vain_rechecks.saturating_add(1);
    }

    /// The time between two questions because of a recheck that comes back, in milliseconds: in panic Envoy sends
    /// requests to endpoints while they are ejected.
    pub(super) fn recheck_interval(&self) -> Millis {
        RECHECK_INTERVAL_MS.saturating_mul(1 << self.vain_rechecks.saturating_sub(FREQUENT_RECHECKS).min(4))
    }

    /// Takes the present difference as the baseline: nothing is unseen.
    pub(super) fn rebase(&mut self) {
        self.baseline = self.baseline.map(|_| self.counted.diff(&self.reported));
    }

    /// Forgets all: what is reported from here on does not compare with the next count.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    fn unseen_by_reason(&self) -> [i64; EjectReason::ALL.len()] {
        let Some(baseline) = self.baseline else { return Default::default() };
        let mut unseen = self.counted.diff(&self.reported);
        unseen.iter_mut().zip(baseline).for_each(|(unseen, baseline)| *unseen = unseen.saturating_sub(baseline));
        unseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_5XX: EjectReason = EjectReason::Consecutive5xx;
    const BY_REFUSAL: EjectReason = EjectReason::ConsecutiveLocalOriginFailure;

    fn counted(reasons: &[(EjectReason, u64)]) -> Option<Ejections> {
        let mut counted = Ejections::default();
        for (reason, count) in reasons {
            counted.add(*reason, *count);
        }
        Some(counted)
    }

    #[test]
    fn neither_what_was_counted_before_nor_what_was_reported_is_unseen() {
        let mut counts = EjectionCounts::default();
        counts.record(BY_5XX, 1);
        counts.observe(counted(&[(BY_5XX, 7)]), 1);
        assert_eq!((counts.unseen(), counts.only_reason(), counts.is_newest()), (0, None, true));
        counts.record(BY_REFUSAL, 1);
        counts.observe(counted(&[(BY_5XX, 7), (BY_REFUSAL, 1)]), 2);
        assert_eq!((counts.unseen(), counts.only_reason()), (0, None));
        counts.observe(counted(&[(BY_5XX, 7), (BY_REFUSAL, 3)]), 3);
        assert_eq!((counts.unseen(), counts.only_reason()), (2, Some(BY_REFUSAL)));
    }

    #[test]
    fn a_reason_that_is_not_the_only_one_proves_nothing() {
        let mut counts = EjectionCounts::default();
        counts.observe(counted(&[]), 1);
        counts.observe(counted(&[(BY_5XX, 1), (BY_REFUSAL, 1)]), 2);
        assert_eq!((counts.unseen(), counts.only_reason()), (2, None));
        // Reports for another reason than Envoy's leave nothing unseen.
        counts.record(BY_5XX, 1);
        counts.record(BY_5XX, 1);
        assert_eq!((counts.unseen(), counts.only_reason()), (0, None));
        counts.rebase();
        counts.observe(counted(&[(BY_5XX, 1), (BY_REFUSAL, 2)]), 3);
        assert_eq!((counts.unseen(), counts.only_reason()), (1, Some(BY_REFUSAL)));
    }

    #[test]
    fn without_a_count_nothing_is_unseen() {
        let mut counts = EjectionCounts::default();
        counts.observe(counted(&[(BY_5XX, 1)]), 1);
        counts.observe(None, 2);
        assert!(!counts.is_kept() && counts.unseen() == 0);
        counts.record(BY_5XX, 1);
        counts.rebase();
        assert!(!counts.is_kept() && counts.unseen() == 0);
    }
}
