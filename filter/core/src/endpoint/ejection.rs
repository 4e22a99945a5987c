//! How long an endpoint stays ejected: the base time multiplied by a back-off, which grows with each ejection and
//! shrinks while the endpoint is in rotation.
//!
//! Envoy decrements the back-off on each tick of its interval that finds the endpoint in rotation for an interval or
//! longer (`outlier_detection_impl`, `checkHostForUneject`). The filter does not know when Envoy ticks, does not always
//! know when the endpoint returned, and the first tick after a return may come just too early to count. So the back-off
//! and the end of an ejection are known only within bounds.

use super::rule::Rule;
use crate::config::OutlierDetection;
use crate::encoded;
use crate::time::Millis;

/// An ejection that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When the endpoint was ejected, as far as is known: at the latest.
    pub at: Millis,
    /// When it was ejected at the earliest.
    pub earliest: Millis,
    /// When its ejection time is over at the earliest; Envoy returns the endpoint on the next tick of its interval.
    pub due: Millis,
    /// When its ejection time is over at the latest.
    pub overdue: Millis,
}

encoded!(struct Ejection { at, earliest, due, overdue });

/// The longest delay of Envoy's interval ticks on a main thread that is not overloaded, in milliseconds.
const LATE_TICK_MS: Millis = 100;

impl Ejection {
    /// The time after which the ejection must have ended: Envoy returns the endpoint on the first tick of its interval
    /// after the ejection time is over, which may be a whole interval later.
    pub fn surely_over(&self, rules: &OutlierDetection) -> Millis {
        self.overdue.saturating_add(rules.interval.millis()).saturating_add(LATE_TICK_MS)
    }
}

/// Ticks in rotation that may not have decremented the back-off: the first, and one more if the ejection was found
/// late.
const UNCERTAIN_TICKS: u32 = 2;

/// The factor that stretches an endpoint's ejections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    least: u32,
    most: u32,
    /// The earliest and the latest time at which the endpoint may have returned.
    returned: (Millis, Millis),
    /// Whether it, or another endpoint of its cluster, ever returned before its time was over: a passed health check
    /// ends ejections too.
    pub(super) returns_early: bool,
}

encoded!(struct Backoff { least, most, returned, returns_early });

impl Backoff {
    /// Ejects the endpoint at `now`, or before but not before `since`. By `rule`, it may last longer at random, and one
    /// that is ejected by a rate may be ejected twice.
    pub fn eject(
        &mut self,
        (since, now): (Millis, Millis),
        by_rate: bool,
        rules: &OutlierDetection,
        rule: &Rule,
    ) -> Ejection {
        let ticks_since = |returned: Millis| {
            let ticks = now.saturating_sub(returned).checked_div(rules.interval.millis()).unwrap_or(0);
            u32::try_from(ticks).unwrap_or(u32::MAX)
        };
        let (earliest, latest) = self.returned;
        let base = rules.base_ejection_time.millis();
        // Envoy takes the larger of the two as the maximum.
        let max = rules.max_ejection_time.millis().max(base);
        let grown = |backoff: u32| {
            let grows = u64::from(backoff).saturating_mul(base) < max.saturating_add(base);
            backoff.saturating_add(u32::from(grows))
        };
        self.least = grown(self.least.saturating_sub(ticks_since(earliest)));
        self.most = grown(self.most.saturating_sub(ticks_since(latest).saturating_sub(UNCERTAIN_TICKS)));
        if by_rate && rule.by_percentage {
            self.most = grown(self.most);
        }
        self.ejection_at((since.min(now), now), rules, rule)
    }

    /// How long the present ejection, which began at one of these times or in between, lasts by these rules.
    pub fn ejection_at(&self, (earliest, at): (Millis, Millis), rules: &OutlierDetection, rule: &Rule) -> Ejection {
        let base = rules.base_ejection_time.millis();
        let max = rules.max_ejection_time.millis().max(base);
        let end = |at: Millis, backoff: u32| at.saturating_add(base.saturating_mul(u64::from(backoff)).min(max));
        let overdue = end(at, self.most).saturating_add(rule.jitter_millis);
        let due = if self.returns_early { earliest } else { end(earliest, self.least) };
        Ejection { at, earliest, due, overdue }
    }

    /// When the endpoint was last known to be back in rotation; 0 if it was never ejected.
    pub fn returned_at(&self) -> Millis {
        self.returned.1
    }

    /// The earliest time at which the endpoint may have returned last; 0 if it was never ejected.
    pub fn returned_since(&self) -> Millis {
        self.returned.0
    }

    /// Ends `ejection`: the endpoint is known to be back in rotation at `now`, and that it was still ejected at `out`.
    pub fn uneject(&mut self, ejection: &Ejection, out: Millis, now: Millis) {
        self.returns_early |= now < ejection.due;
        let due = if self.returns_early { ejection.earliest } else { ejection.due };
        self.returned = (due.max(out).min(now), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Duration;

    fn rules() -> OutlierDetection {
        OutlierDetection {
            interval: Duration::from_millis(1_000),
            base_ejection_time: Duration::from_millis(2_000),
            max_ejection_time: Duration::from_millis(5_000),
            ..OutlierDetection::default()
        }
    }

    /// Ejects at each of these times, in seconds, and unejects when due. Returns how long each ejection lasts, as
    /// bounds in seconds.
    fn lasted(ejected_at: &[u64]) -> Vec<(u64, u64)> {
        let mut backoff = Backoff::default();
        let eject = |at: &u64| {
            let ejection = backoff.eject((at * 1_000, at * 1_000), false, &rules(), &Rule::none(0));
            backoff.uneject(&ejection, 0, ejection.due);
            ((ejection.due - ejection.at) / 1_000, (ejection.overdue - ejection.at) / 1_000)
        };
        ejected_at.iter().map(eject).collect()
    }

    #[test]
    fn it_grows_to_the_maximum_without_time_in_rotation() {
        assert_eq!(lasted(&[100, 102, 106, 111]), [(2, 2), (4, 4), (5, 5), (5, 5)]);
    }

    #[test]
    fn it_shrinks_in_rotation_by_one_for_each_interval_that_surely_counts() {
        assert_eq!(lasted(&[100, 103]), [(2, 2), (2, 4)]);
        assert_eq!(lasted(&[100, 105]), [(2, 2), (2, 2)]);
    }

    #[test]
    fn a_return_that_is_known_late_may_have_been_when_it_was_due() {
        let mut backoff = Backoff::default();
        let first = backoff.eject((100_000, 100_000), false, &rules(), &Rule::none(0));
        backoff.uneject(&first, 0, 103_000);
        let second = backoff.eject((103_100, 103_100), false, &rules(), &Rule::none(0));
        assert_eq!((second.due, second.overdue), (105_100, 107_100));
    }

    #[test]
    fn one_that_was_over_too_soon_shows_that_the_next_may_be_too() {
        let mut backoff = Backoff::default();
        let first = backoff.eject((100_000, 100_000), false, &rules(), &Rule::none(0));
        backoff.uneject(&first, 0, 100_700);
        let second = backoff.eject((101_000, 101_000), false, &rules(), &Rule::none(0));
        assert_eq!((second.due, second.overdue), (101_000, 105_000));
    }

    #[test]
    fn an_ejection_that_is_known_late_may_be_over_sooner() {
        let ejection = Backoff::default().eject((99_400, 100_000), false, &rules(), &Rule::none(0));
        assert_eq!((ejection.at, ejection.due, ejection.overdue), (100_000, 101_400, 102_000));
    }
}
