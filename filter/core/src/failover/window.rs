//! A sliding window of attempts and errors, with a twentieth of the window's length per bucket.
//!
//! It is small and of fixed size because it is part of the value that the workers share. Not here: whose attempts it
//! counts.

use crate::encoded;
use crate::time::Millis;

/// Buckets in a window: the resolution is a twentieth of its length.
const BUCKETS: u64 = 20;

/// Attempts and how many of them were errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Attempts that were charged to an endpoint.
    pub attempts: u32,
    /// Attempts that failed.
    pub errors: u32,
}

encoded!(struct Count { attempts, errors });

impl Count {
    /// Attempts that were answered without an error.
    pub fn served(&self) -> u32 {
        self.attempts.saturating_sub(self.errors)
    }

    /// Adds `other` to this.
    pub fn add(&mut self, other: Count) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.errors = self.errors.saturating_add(other.errors);
    }
}

/// Counts of the recent past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The number of the newest bucket: time divided by a bucket's length.
    newest: u64,
    /// The buckets, oldest first, at most [`BUCKETS`]: by how many a bucket is older than the newest, and its counts.
    buckets: Vec<(u8, Count)>,
}

encoded!(struct Window { newest, buckets });

impl Window {
    /// Adds what was counted from `since` to `now`, evenly, to a window of `length` milliseconds.
    pub fn add(&mut self, count: Count, (since, now): (Millis, Millis), length: u64) {
        let newest = number(now, length);
        self.move_to(newest);
        let oldest = number(since.saturating_add(1).min(now), length).max(newest.saturating_sub(BUCKETS - 1));
        let spans = newest.saturating_sub(oldest).saturating_add(1);
        for span in 1..=spans {
            let part = |all: u32| {
                let until = |span: u64| u64::from(all).saturating_mul(span).checked_div(spans).unwrap_or(0);
                u32::try_from(until(span).saturating_sub(until(span.saturating_sub(1)))).unwrap_or(u32::MAX)
            };
            let part = Count { attempts: part(count.attempts), errors: part(count.errors) };
            self.add_to(u8::try_from(spans.saturating_sub(span)).unwrap_or(u8::MAX), part);
        }
    }

    /// Adds to the bucket that is so much older than the newest.
    fn add_to(&mut self, age: u8, count: Count) {
        if count.attempts == 0 {
            return;
        }
        let position = self.buckets.partition_point(|(known, _)| *known > age);
        match self.buckets.get_mut(position) {
            Some((known, bucket)) if *known == age => bucket.add(count),
            _ => self.buckets.insert(position, (age, count)),
        }
    }

    /// The sum of the `length` milliseconds up to `now`.
    pub fn sum(&self, now: Millis, length: u64) -> Count {
        let newest = number(now, length);
        let mut sum = Count::default();
        let counts = self.buckets.iter().filter(|(age, _)| self.aged(*age, newest).is_some()).map(|(_, count)| *count);
        counts.for_each(|count| sum.add(count));
        sum
    }

    /// When an attempt was last counted in the `length` milliseconds up to `now`, to the end of its bucket.
    pub fn last(&self, now: Millis, length: u64) -> Option<Millis> {
        let newest = number(now, length);
        let ages = self.buckets.iter().filter_map(|(age, _)| self.aged(*age, newest));
        let end = newest.saturating_sub(u64::from(ages.min()?)).saturating_add(1).saturating_mul(length / BUCKETS);
        Some(end.min(now))
    }

    /// Makes `newest` the newest bucket and drops what is then too old.
    fn move_to(&mut self, newest: u64) {
        let kept = self.buckets.iter().filter_map(|(age, count)| Some((self.aged(*age, newest)?, *count)));
        self.buckets = kept.collect();
        self.newest = newest;
    }

    /// The age of a bucket when `newest` is the newest one; `None` if it is too old. If the clock went back, buckets in
    /// the future are so too: they would never expire.
    fn aged(&self, age: u8, newest: u64) -> Option<u8> {
        let number = self.newest.checked_sub(u64::from(age))?;
        newest.checked_sub(number).filter(|age| *age < BUCKETS).and_then(|age| u8::try_from(age).ok())
    }
}

fn number(now: Millis, length: u64) -> u64 {
    now.checked_div(length / BUCKETS).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Count = Count { attempts: 1, errors: 0 };

    #[test]
    fn forgets_what_is_older_than_the_window() {
        let mut window = Window::default();
        for at in [10_000, 10_500, 15_000] {
            window.add(ONE, (at, at), 10_000);
        }
        assert_eq!(window.sum(15_000, 10_000).attempts, 3);
        assert_eq!(window.sum(20_000, 10_000).attempts, 2);
        assert_eq!(window.sum(20_500, 10_000).attempts, 1);
        assert_eq!(window.sum(25_000, 10_000).attempts, 0);
    }

    #[test]
    fn what_was_counted_over_a_while_leaves_bit_by_bit() {
        let mut window = Window::default();
        window.add(Count { attempts: 100, errors: 4 }, (9_500, 12_000), 10_000);
        assert_eq!(window.sum(12_000, 10_000), Count { attempts: 100, errors: 4 });
        let later = [19_400, 20_000, 21_000, 22_000].map(|now| window.sum(now, 10_000).attempts);
        assert_eq!(later, [100, 67, 34, 0]);
        assert_eq!((window.last(12_100, 10_000), window.last(15_000, 10_000)), (Some(12_100), Some(12_500)));
        assert_eq!(window.last(30_000, 10_000), None);
        window.add(ONE, (0, 23_000), 10_000);
        assert_eq!(window.sum(23_000, 10_000).attempts, 1, "begun before the window");
    }

    #[test]
    fn stays_small_and_survives_a_clock_that_jumps() {
        let mut window = Window::default();
        for at in (0..100_000).step_by(100) {
            window.add(ONE, (at, at), 10_000);
        }
        assert!(window.buckets.len() <= 20);
        window.add(ONE, (5_000, 5_000), 10_000);
        assert_eq!(window.sum(5_000, 10_000).attempts, 1);
        window.add(ONE, (u64::MAX, u64::MAX), 10_000);
        assert_eq!(window.sum(u64::MAX, 10_000).attempts, 1);
    }
}
