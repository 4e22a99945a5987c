//! Where a failover's traffic went: each locality, for how long it served and how much.
//!
//! A locality may serve for a while, then another, then the first again: its seconds are the sum of its stays.

use super::window::Count;
use crate::encoded;
use crate::event::Destination;
use crate::locality::{Locality, Tier};
use crate::order;
use crate::time::{Millis, seconds_between};

/// Destinations that are told apart; what goes to further ones is added to the last.
const MAX_DESTINATIONS: usize = 16;
/// Without an attempt for longer than this, in milliseconds, a stay is over. Workers report their sums each second.
const GAP_MS: Millis = 2_000;

/// What went away from home since the trouble began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before<'a> {
    /// In workers' sums that have been reported; later ones add to it.
    pub seen: &'a [(Locality, Tier, Count)],
    /// By Envoy's counts of its hosts; later ones add to it.
    pub listed: &'a [(Locality, Tier, Count)],
}

/// A locality away from home and what it received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stays {
    to: Locality,
    /// The length of its stays, in milliseconds.
    millis: u64,
    /// The end of the last one; 0 if there was none.
    until: Millis,
    /// When an attempt was last seen by itself; 0 if never. Such a time is exact.
    seen: Millis,
    /// What the filter saw of its attempts, each in the right place. It does not see those that Envoy retried.
    seen_sum: Sum,
    /// What Envoy counted of them. It forgets those of hosts that left between two lists.
    listed_sum: Sum,
}

encoded!(struct Stays { to, millis, until, seen, seen_sum, listed_sum });

/// Attempts and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    requests: u64,
    errors: u64,
}

encoded!(struct Sum { requests, errors });

/// The localities that received traffic during a failover, in the order of their first attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Destinations {
    stays: Vec<Stays>,
    /// Whether Envoy's counts may lack attempts: hosts left or came meanwhile, or some lists were missing. The filter's
    /// own sums may have too many, because they are those of a sample where all was well.
    lists_lack: bool,
}

encoded!(struct Destinations { stays, lists_lack });

impl Destinations {
    /// An attempt was just answered by `to`. It is counted later, in a worker's sums.
    pub(super) fn note_answered(&mut self, to: &Locality, now: Millis) {
        if let Some(stays) = self.entry(to) {
            stays.extend(now, now);
            stays.seen = now;
        }
    }

    /// Adds a worker's sums.
    pub(super) fn count(&mut self, to: &Locality, count: Count) {
        if let Some(stays) = self.entry(to).filter(|_| count.attempts > 0) {
            stays.seen_sum.add(count);
        }
    }

    /// Adds what workers' sums have from before the failover. Of that, Envoy's counts may have less.
    pub(super) fn count_early(&mut self, to: &Locality, count: Count) {
        if let Some(stays) = self.entry(to) {
            stays.seen_sum.add(count);
            if stays.listed_sum.requests < stays.seen_sum.requests {
                stays.listed_sum = stays.seen_sum;
            }
        }
    }

    /// Notes that attempts went there at some time from `since` to `now`.
    pub(super) fn note_stay(&mut self, to: &Locality, since: Millis, now: Millis) {
        if let Some(stays) = self.entry(to).filter(|stays| !(since..=now).contains(&stays.seen)) {
            stays.extend(since, now);
        }
    }

    /// Adds what Envoy's counts of its hosts have grown by; the same attempts are in workers' sums, as far as these see
    /// them.
    pub(super) fn count_listed(&mut self, to: &Locality, count: Count) {
        if let Some(stays) = self.entry(to) {
            stays.listed_sum.add(count);
        }
    }

    /// As the event tells them: most requests first, and none longer than `most` milliseconds.
    pub(super) fn told(&self, most: u64) -> Vec<Destination> {
        let told = self.stays.iter().map(|stays| {
            let Sum { requests, errors } = self.sum_of(stays);
            Destination { to: stays.to.clone(), seconds: seconds_between(0, stays.millis.min(most)), requests, errors }
        });
        let mut told: Vec<Destination> = told.filter(|told| told.requests > 0).collect();
        order::sort(&mut told, |a, b| a.requests > b.requests);
        told
    }

    /// Notes that Envoy's counts may lack attempts from now on.
    pub(super) fn note_lists_lack(&mut self) {
        self.lists_lack = true;
    }

    /// Envoy's counts are exact; if they lack some, the larger of the two sums lacks fewer.
    fn sum_of(&self, stays: &Stays) -> Sum {
        let (listed, seen) = (stays.listed_sum, stays.seen_sum);
        if listed.requests > if self.lists_lack { seen.requests } else { 0 } { listed } else { seen }
    }

    fn entry(&mut self, to: &Locality) -> Option<&mut Stays> {
        let position = self.stays.iter().position(|stays| stays.to == *to);
        if position.is_none() && self.stays.len() < MAX_DESTINATIONS {
            let to = to.clone();
            let (seen_sum, listed_sum) = Default::default();
            self.stays.push(Stays { to, millis: 0, until: 0, seen: 0, seen_sum, listed_sum });
        }
        match position {
            Some(index) => self.stays.get_mut(index),
            None => self.stays.last_mut(),
        }
    }
}

impl Sum {
    fn add(&mut self, count: Count) {
        self.requests = self.requests.saturating_add(u64::from(count.attempts));
        self.errors = self.errors.saturating_add(u64::from(count.errors));
    }
}

impl Stays {
    /// The locality served from `since` to `now`: the last stay goes on, or a new one begins.
    fn extend(&mut self, since: Millis, now: Millis) {
        let goes_on = self.until > 0 && since <= self.until.saturating_add(GAP_MS);
        let from = if goes_on { self.until } else { since };
        self.millis = self.millis.saturating_add(now.saturating_sub(from));
        self.until = self.until.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(destinations: &Destinations) -> Vec<(String, f64)> {
        destinations.told(u64::MAX).into_iter().map(|told| (told.to.as_str().to_owned(), told.seconds)).collect()
    }

    fn totals(destinations: &Destinations) -> (u64, u64) {
        let told = destinations.told(u64::MAX);
        (told.iter().map(|told| told.requests).sum(), told.iter().map(|told| told.errors).sum())
    }

    fn one(attempts: u32) -> Count {
        Count { attempts, errors: 0 }
    }

    fn count(destinations: &mut Destinations, to: &Locality, count: Count, (since, now): (Millis, Millis)) {
        destinations.count(to, count);
        destinations.note_stay(to, since, now);
    }

    #[test]
    fn stays_add_up_whether_attempts_are_seen_by_themselves_or_in_sums() {
        let (b, c) = (Locality::parse("r/b"), Locality::parse("r/c"));
        let mut destinations = Destinations::default();
        for now in [1_000, 1_900, 4_100] {
            destinations.note_answered(&b, now);
        }
        count(&mut destinations, &b, one(3), (3_500, 4_500));
        // Two workers' sums of overlapping times are no longer than the time.
        for (since, now) in [(10_000, 11_000), (10_300, 11_300), (11_000, 12_000), (20_000, 21_000)] {
            count(&mut destinations, &c, one(10), (since, now));
        }
        assert_eq!(seconds(&destinations), [("r/c".to_owned(), 3.0), ("r/b".to_owned(), 0.9)]);
        assert_eq!(totals(&destinations), (43, 0));
    }

    #[test]
    fn attempts_that_only_envoy_saw_and_those_that_only_the_filter_saw_count() {
        let mut destinations = Destinations::default();
        let (b, c) = (Locality::parse("r/b"), Locality::parse("r/c"));
        count(&mut destinations, &b, one(30), (1_000, 2_000));
        destinations.count_listed(&b, Count { attempts: 50, errors: 20 });
        count(&mut destinations, &c, one(9), (1_000, 2_000));
        destinations.count_listed(&c, one(4));
        assert_eq!(totals(&destinations), (54, 20), "what the filter saw may be reckoned from a sample");
        destinations.note_lists_lack();
        assert_eq!(totals(&destinations), (59, 20), "some hosts left between two lists");
    }

    #[test]
    fn is_bounded_and_loses_no_request() {
        let mut destinations = Destinations::default();
        for i in 0..40 {
            count(&mut destinations, &Locality::parse(&format!("r/{i}")), one(1), (1_000, 2_000));
        }
        assert_eq!((destinations.told(u64::MAX).len(), totals(&destinations)), (MAX_DESTINATIONS, (40, 0)));
        assert_eq!(destinations.told(u64::MAX)[0].requests, 25);
    }
}
