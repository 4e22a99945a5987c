//! Compares Envoy's own count of a cluster's ejections with those that were reported: the filter has missed the
//! difference.
//!
//! Envoy's list of hosts shows only who is ejected now. An endpoint that returned and was ejected again between two
//! lists looks as if it had never been back. But Envoy also counts each ejection that it enforces, by reason, and that
//! count never goes down. Ejections from before the first answer are the baseline; whatever exceeds it was not seen.
//!
//! Not here: which endpoint was ejected unseen, [`super::on_ejection_counts`].

use crate::admin::stats::Ejections;
use crate::encoded;
use crate::endpoint::reason::EjectReason;
use crate::time::Millis;

/// The interval between two questions because of a recheck, in milliseconds, and how many are asked before the interval
/// grows.
const RECHECK_INTERVAL_MS: Millis = 100;
const FREQUENT_RECHECKS: u32 = 4;

/// Envoy's count, the ejections that were reported, and by how much the two may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EjectionCounts {
    reported: Ejections,
    reported_at: Millis,
    counted: Ejections,
    /// When the latest count was asked for; 0 if none has arrived.
    pub(super) answer_asked: Millis,
    /// When a count was last asked for, with or without an answer; 0 if never.
    pub(super) last_asked: Millis,
    /// When the count was asked for that last showed more unseen ejections than were open, and how many these are.
    pub(super) unseen_asked: Millis,
    open: i64,
    /// When the count was last asked for that showed no unseen ejection, before those that are open.
    pub(super) unseen_since: Millis,
    /// When the count before the latest was asked for.
    before_asked: Millis,
    /// How many rechecks in a row found no unseen ejection.
    vain_rechecks: u32,
    /// By how much Envoy's count exceeds the reported ejections when none is unseen; `None` without a count.
    baseline: Option<[i64; EjectReason::ALL.len()]>,
}

encoded!(struct EjectionCounts {
    reported, reported_at, counted, answer_asked, last_asked, unseen_asked, open, unseen_since,
    before_asked, vain_rechecks, baseline,
});

impl EjectionCounts {
    /// How many streaks Envoy last counted that reached their threshold; `None` if it does not keep that count.
    pub(super) fn detected(&self) -> Option<u64> {
        self.baseline.and(self.counted.detected())
    }

    /// Whether Envoy keeps this count for the cluster.
    pub(super) fn is_kept(&self) -> bool {
        self.baseline.is_some()
    }

    /// Counts an ejection as reported.
    pub(super) fn record(&mut self, reason: EjectReason, now: Millis) {
        self.reported.add(reason, 1);
        self.reported_at = now;
        self.vain_rechecks = 0;
    }

    /// Whether Envoy's count was asked for after the last report, so that it includes all that was reported.
    pub(super) fn is_newest(&self) -> bool {
        self.reported_at <= self.answer_asked
    }

    /// Applies Envoy's count, asked for at `asked`. The first count is the baseline, and so is the first after Envoy
    /// started counting over (because the cluster was removed and added again).
    pub(super) fn observe(&mut self, counted: Option<Ejections>, asked: Millis) {
        self.before_asked = self.answer_asked;
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

    /// Ejections that Envoy counted and the filter did not report; below zero if more were reported since.
    pub(super) fn unseen(&self) -> i64 {
        self.unseen_by_reason().iter().fold(0, |sum, unseen| sum.saturating_add(*unseen))
    }

    /// Notes how many ejections are unseen, when those that the count explains are reported. Others may follow, which
    /// say nothing about when these happened.
    pub(super) fn note_unseen(&mut self) {
        let unseen = self.unseen().max(0);
        if unseen > self.open {
            self.unseen_asked = self.answer_asked;
        }
        if unseen > 0 && self.open == 0 {
            self.unseen_since = self.before_asked;
        }
        self.open = unseen;
    }

    /// The reason of the unseen ejections, if they all have the same one.
    pub(super) fn only_reason(&self) -> Option<EjectReason> {
        let unseen = self.unseen_by_reason();
        let mut reasons = EjectReason::ALL.into_iter().zip(unseen).filter(|(_, unseen)| *unseen != 0);
        match (reasons.next(), reasons.next()) {
            (Some((reason, unseen)), None) if unseen > 0 => Some(reason),
            _ => None,
        }
    }

    /// Counts a recheck that found no unseen ejection.
    pub(super) fn record_vain_recheck(&mut self) {
        self.vain_rechecks = self.vain_rechecks.saturating_add(1);
    }

    /// The interval between two questions because of a recheck that keeps coming back, in milliseconds. It grows,
    /// because in panic Envoy sends requests to endpoints while they are ejected, which causes rechecks all the time.
    pub(super) fn recheck_interval(&self) -> Millis {
        RECHECK_INTERVAL_MS.saturating_mul(1 << self.vain_rechecks.saturating_sub(FREQUENT_RECHECKS).min(4))
    }

    /// Takes the present difference as the baseline, so that nothing is unseen.
    pub(super) fn rebase(&mut self) {
        self.baseline = self.baseline.map(|_| self.counted.diff(&self.reported));
        self.open = 0;
    }

    /// Forgets the counts and the baseline: later reports do not compare with the next count.
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
