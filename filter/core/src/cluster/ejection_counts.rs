//! Envoy's own count of a cluster's ejections against those that were told: the difference was not seen.
//!
//! Envoy's list of endpoints shows who is ejected now. An endpoint that returned and was ejected again between two looks
//! at the list seems never to have been back; but Envoy also counts each ejection that it carries out, by reason, and
//! never forgets one. What it had counted before anybody watched is the difference that stays, so what exceeds
//! that was not seen.
//!
//! Not here: which endpoint it was, [`super::counted`].

use crate::time::Millis;
use crate::witness::{Ejections, REASONS};
use serde::{Deserialize, Serialize};

/// Between two questions because of a doubt, in milliseconds, and how many are put before they become seldom.
const DOUBTS: Millis = 100;
const FIRST_DOUBTS: u32 = 4;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    told: Ejections,
    told_at: Millis,
    counted: Ejections,
    /// When the count was asked for that came last; 0 when none did.
    pub asked: Millis,
    /// When it was asked for last, whatever came of it; 0 when never.
    pub tried: Millis,
    /// How often in a row a doubt was refuted.
    refuted: u32,
    /// By how much Envoy's count exceeds what was told when nothing is unseen; `None` when Envoy does not tell it.
    ahead: Option<[i64; REASONS.len()]>,
}

impl Ledger {
    /// Whether Envoy tells its count.
    pub fn is_kept(&self) -> bool {
        self.ahead.is_some()
    }

    /// An ejection for this reason is told.
    pub fn tell(&mut self, reason: &str, now: Millis) {
        self.told.add(reason);
        self.told_at = now;
        self.refuted = 0;
    }

    /// Whether Envoy's count cannot lack what was told.
    pub fn is_newest(&self) -> bool {
        self.told_at <= self.asked
    }

    /// Takes in Envoy's count, asked for at `asked`; the first one, also after it started over (the cluster was taken away and put
    /// back), is what the next is compared with.
    pub fn count(&mut self, counted: Option<Ejections>, asked: Millis) {
        (self.asked, self.tried) = (asked, asked);
        match counted {
            Some(counted) => {
                let started_over = counted.less(&self.counted).iter().any(|more| *more < 0);
                let ahead = self.ahead.filter(|_| !started_over);
                self.ahead = Some(ahead.unwrap_or_else(|| counted.less(&self.told)));
                self.counted = counted;
            }
            None => self.ahead = None,
        }
    }

    /// Ejections that Envoy counted and that were not told; below zero when more were told since.
    pub fn unseen(&self) -> i64 {
        self.unseen_by_reason().iter().fold(0, |sum, unseen| sum.saturating_add(*unseen))
    }

    /// The reason of all that is unseen, if it is one.
    pub fn only_reason(&self) -> Option<&'static str> {
        let unseen = self.unseen_by_reason();
        let mut reasons = REASONS.into_iter().zip(unseen).filter(|(_, unseen)| *unseen != 0);
        match (reasons.next(), reasons.next()) {
            (Some((reason, unseen)), None) if unseen > 0 => Some(reason),
            _ => None,
        }
    }

    /// A doubt was without cause.
    pub fn refute(&mut self) {
        self.refuted = self.refuted.saturating_add(1);
    }

    /// Between two questions for the count because of a doubt that comes back, in milliseconds: in panic Envoy tries endpoints
    /// while they are ejected.
    pub fn doubts_wait(&self) -> Millis {
        DOUBTS.saturating_mul(1 << self.refuted.saturating_sub(FIRST_DOUBTS).min(4))
    }

    /// Nothing is unseen, whatever the difference is.
    pub fn settle(&mut self) {
        self.ahead = self.ahead.map(|_| self.counted.less(&self.told));
    }

    /// What was told and what was counted may differ from here on: not to be compared with the next count.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn unseen_by_reason(&self) -> [i64; REASONS.len()] {
        let Some(ahead) = self.ahead else { return Default::default() };
        let mut unseen = self.counted.less(&self.told);
        unseen.iter_mut().zip(ahead).for_each(|(unseen, ahead)| *unseen = unseen.saturating_sub(ahead));
        unseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_5XX: &str = "consecutive_5xx";
    const BY_REFUSAL: &str = "consecutive_local_origin_failure";

    fn counted(reasons: &[(&str, u64)]) -> Option<Ejections> {
        let mut counted = Ejections::default();
        for (reason, count) in reasons {
            (0..*count).for_each(|_| counted.add(reason));
        }
        Some(counted)
    }

    #[test]
    fn what_was_counted_before_is_not_unseen_and_what_was_told_is_not() {
        let mut ledger = Ledger::default();
        ledger.tell(BY_5XX, 1);
        ledger.count(counted(&[(BY_5XX, 7)]), 1);
        assert_eq!((ledger.unseen(), ledger.only_reason(), ledger.is_newest()), (0, None, true));
        ledger.tell(BY_REFUSAL, 1);
        ledger.count(counted(&[(BY_5XX, 7), (BY_REFUSAL, 1)]), 2);
        assert_eq!((ledger.unseen(), ledger.only_reason()), (0, None));
        ledger.count(counted(&[(BY_5XX, 7), (BY_REFUSAL, 3)]), 3);
        assert_eq!((ledger.unseen(), ledger.only_reason()), (2, Some(BY_REFUSAL)));
    }

    #[test]
    fn a_reason_that_is_not_the_only_one_proves_nothing() {
        let mut ledger = Ledger::default();
        ledger.count(counted(&[]), 1);
        ledger.count(counted(&[(BY_5XX, 1), (BY_REFUSAL, 1)]), 2);
        assert_eq!((ledger.unseen(), ledger.only_reason()), (2, None));
        // What was told for another reason than Envoy's makes none unseen.
        ledger.tell(BY_5XX, 1);
        ledger.tell(BY_5XX, 1);
        assert_eq!((ledger.unseen(), ledger.only_reason()), (0, None));
        ledger.settle();
        ledger.count(counted(&[(BY_5XX, 1), (BY_REFUSAL, 2)]), 3);
        assert_eq!((ledger.unseen(), ledger.only_reason()), (1, Some(BY_REFUSAL)));
    }

    #[test]
    fn without_a_count_nothing_is_unseen() {
        let mut ledger = Ledger::default();
        ledger.count(counted(&[(BY_5XX, 1)]), 1);
        ledger.count(None, 2);
        assert!(!ledger.is_kept() && ledger.unseen() == 0);
        ledger.tell(BY_5XX, 1);
        ledger.settle();
        assert!(!ledger.is_kept() && ledger.unseen() == 0);
    }
}
