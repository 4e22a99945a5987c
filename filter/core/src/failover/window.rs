//! A sliding window of attempts and errors, with a tenth of the window's length per bucket.
//!
//! It is small and of fixed size because it is part of the value that the workers share. Not here: whose attempts it
//! counts.

use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// Buckets in a window: the resolution is a tenth of its length.
const BUCKETS: u64 = 10;

/// Attempts and how many of them were errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Attempts that were charged to an endpoint.
    pub attempts: u32,
    /// Attempts that failed.
    pub errors: u32,
}

impl Count {
    /// Adds `other` to this.
    pub fn add(&mut self, other: Count) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.errors = self.errors.saturating_add(other.errors);
    }
}

/// Counts of the recent past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The buckets, oldest first, at most [`BUCKETS`]: a bucket's number (time divided by bucket length) and its
    /// counts.
    buckets: Vec<(u64, Count)>,
}

impl Window {
    /// Adds `count` at `now` to a window of `length` milliseconds.
    pub fn add(&mut self, count: Count, now: Millis, length: u64) {
        let number = Self::number(now, length);
        // If the clock went back, buckets in the future would remain and never expire.
        self.buckets.retain(|(n, _)| *n <= number && n.saturating_add(BUCKETS) > number);
        match self.buckets.last_mut() {
            Some((n, last)) if *n == number => last.add(count),
            _ => self.buckets.push((number, count)),
        }
    }

    /// The sum of the `length` milliseconds up to `now`.
    pub fn sum(&self, now: Millis, length: u64) -> Count {
        let number = Self::number(now, length);
        let mut sum = Count::default();
        for (n, count) in &self.buckets {
            if *n <= number && n.saturating_add(BUCKETS) > number {
                sum.add(*count);
            }
        }
        sum
    }

    fn number(now: Millis, length: u64) -> u64 {
        now.checked_div(length / BUCKETS).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Count = Count { attempts: 1, errors: 0 };

    #[test]
    fn forgets_what_is_older_than_the_window() {
        let mut window = Window::default();
        for at in [10_000, 10_500, 15_000] {
            window.add(ONE, at, 10_000);
        }
        assert_eq!(window.sum(15_000, 10_000).attempts, 3);
        assert_eq!(window.sum(20_000, 10_000).attempts, 1);
        assert_eq!(window.sum(25_000, 10_000).attempts, 0);
    }

    #[test]
    fn stays_small_and_survives_a_clock_that_jumps() {
        let mut window = Window::default();
        for at in (0..100_000).step_by(100) {
            window.add(ONE, at, 10_000);
        }
        assert!(window.buckets.len() <= 10);
        window.add(ONE, 5_000, 10_000);
        assert_eq!(window.sum(5_000, 10_000).attempts, 1);
        window.add(ONE, u64::MAX, 10_000);
        assert_eq!(window.sum(u64::MAX, 10_000).attempts, 1);
    }
}
