//! The endpoints of a cluster by locality, as traffic shows them.
//!
//! They are needed to tell "nothing healthy is left at home" from "one of many failed". Traffic shows a cluster's
//! endpoints one by one, and each worker sees different ones. They are a shared value of their own because it is large
//! and changes rarely, while the cluster's value is small and changes with every error. When Envoy's own count
//! (`upstream.num_endpoints`) is smaller than ours, some endpoints have left: those that were not seen for longest.
//!
//! Endpoints are kept as 32-bit hashes: 8 bytes each with the time they were last seen.

use crate::encoded;
use crate::locality::Locality;
use crate::order;
use crate::text::hash;
use crate::time::Millis;

/// How long an endpoint without traffic counts as present while Envoy's count is not known: 10 minutes, in seconds.
const FORGET_UNSEEN_SECONDS: u32 = 600;

/// The hash that stands for an endpoint (FNV-1a over its address).
pub fn endpoint_hash(address: &str) -> u32 {
    hash(address)
}

/// An endpoint that was seen: its hash, the index of its locality, and when, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    hash: u32,
    locality: u16,
    seconds: u32,
}

encoded!(struct Seen { hash, locality, seconds });

/// The endpoints seen in each locality.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    localities: Vec<Locality>,
    /// In the order of their hashes; each hash once.
    seen: Vec<Seen>,
}

encoded!(struct Members { localities, seen });

impl Members {
    /// Applies the endpoints that a worker saw (`hash`, locality), drops those that left, and keeps at most `limit`.
    /// `total` is Envoy's count of the cluster's endpoints, where known. Returns the hashes of those that were
    /// dropped, in order.
    pub fn merge(&mut self, seen: &[(u32, &Locality)], total: Option<u32>, limit: u32, now: Millis) -> Vec<u32> {
        let seconds = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let known = self.seen.len();
        for (hash, locality) in seen {
            // Those of before are in order, those that are new follow.
            let before = self.seen.get(..known).unwrap_or_default();
            let index = before.binary_search_by_key(hash, |seen| seen.hash).ok();
            let full = self.seen.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
            if full && index.is_none() {
                continue;
            }
            let Some(locality) = self.index(locality) else { continue };
            let now = Seen { hash: *hash, locality, seconds };
            match index.and_then(|index| self.seen.get_mut(index)) {
                Some(seen) => *seen = now,
                None => self.seen.push(now),
            }
        }
        order::sort(&mut self.seen, |a, b| a.hash < b.hash);
        self.seen.dedup_by(|again, seen| {
            let is_same = again.hash == seen.hash;
            if is_same {
                *seen = *again;
            }
            is_same
        });
        let dropped = match total {
            Some(total) => self.beyond(usize::try_from(total).unwrap_or(usize::MAX), seconds),
            None => {
                let unseen = |s: &Seen| s.seconds.saturating_add(FORGET_UNSEEN_SECONDS) < seconds;
                self.seen.iter().filter(|seen| unseen(seen)).map(|seen| seen.hash).collect()
            }
        };
        self.seen.retain(|seen| dropped.binary_search(&seen.hash).is_err());
        dropped
    }

    /// The endpoints that must have left if there are only `total`: those not seen for longest, but none that was seen
    /// just now.
    fn beyond(&self, total: usize, seconds: u32) -> Vec<u32> {
        let excess = self.seen.len().saturating_sub(total);
        if excess == 0 {
            return Vec::new();
        }
        let mut all: Vec<Seen> = self.seen.iter().filter(|seen| seen.seconds < seconds).copied().collect();
        order::sort(&mut all, |a, b| a.seconds < b.seconds);
        all.truncate(excess);
        order::sort(&mut all, |a, b| a.hash < b.hash);
        all.iter().map(|seen| seen.hash).collect()
    }

    /// The index of `locality`; `None` if there are more localities than a `u16` can count.
    fn index(&mut self, locality: &Locality) -> Option<u16> {
        let known = self.localities.iter().position(|known| known == locality);
        let index = known.unwrap_or_else(|| {
            self.localities.push(locality.clone());
            self.localities.len().saturating_sub(1)
        });
        u16::try_from(index).ok()
    }

    /// How many endpoints are known.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether no endpoint is known.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// How many endpoints are known in each locality, including localities without any.
    pub fn counts(&self) -> Vec<(Locality, u32)> {
        let mut counts: Vec<(Locality, u32)> = self.localities.iter().map(|locality| (locality.clone(), 0)).collect();
        for seen in &self.seen {
            if let Some((_, count)) = counts.get_mut(usize::from(seen.locality)) {
                *count = count.saturating_add(1);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locality(text: &str) -> Locality {
        Locality::parse(text)
    }

    fn total(members: &Members, text: &str) -> u32 {
        members.counts().iter().find(|(l, _)| *l == locality(text)).map_or(0, |(_, n)| *n)
    }

    #[test]
    fn workers_see_the_same_endpoint_once() {
        let mut members = Members::default();
        members.merge(&[(1, &locality("r/a")), (2, &locality("r/b"))], None, 100, 1_000);
        members.merge(&[(1, &locality("r/a")), (3, &locality("r/a"))], None, 100, 2_000);
        assert_eq!((total(&members, "r/a"), total(&members, "r/b"), members.len()), (2, 1, 3));
    }

    #[test]
    fn the_ones_unseen_for_longest_left_when_envoy_counts_fewer() {
        let mut members = Members::default();
        members.merge(&[(1, &locality("r/a")), (2, &locality("r/a"))], Some(2), 100, 1_000);
        assert_eq!(members.merge(&[(3, &locality("r/b"))], Some(2), 100, 9_000).len(), 1);
        assert_eq!(total(&members, "r/a"), 1);
        members.merge(&[(3, &locality("r/b"))], Some(1), 100, 10_000);
        assert_eq!((total(&members, "r/a"), total(&members, "r/b")), (0, 1));
    }

    #[test]
    fn without_envoys_count_time_decides() {
        let mut members = Members::default();
        members.merge(&[(1, &locality("r/a"))], None, 100, 1_000);
        assert!(members.merge(&[], None, 100, 600_000).is_empty());
        assert_eq!(members.merge(&[], None, 100, 602_000), [1]);
    }

    #[test]
    fn an_endpoint_that_moved_is_counted_in_its_new_locality_only() {
        let mut members = Members::default();
        members.merge(&[(1, &locality("r/a"))], None, 100, 1_000);
        members.merge(&[(1, &locality("r/b"))], None, 100, 2_000);
        assert_eq!((total(&members, "r/a"), total(&members, "r/b")), (0, 1));
    }

    #[test]
    fn is_bounded() {
        let mut members = Members::default();
        let at = locality("r/a");
        let many: Vec<_> = (0..50).map(|i| (i, &at)).collect();
        members.merge(&many, None, 10, 1_000);
        assert_eq!(members.len(), 10);
    }
}
