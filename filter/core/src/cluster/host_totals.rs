//! What Envoy has counted of each host of a cluster, from one list of its hosts to the next.
//!
//! These counts show all attempts at a cluster, also those that Envoy retried and those that the filter does not see.
//! They are a shared value of their own, because it is large and needed only when a list arrives.

use super::localities::MAX_LOCALITIES;
use super::members::endpoint_hash;
use crate::admin::host_lists::HostStatus;
use crate::encoded;
use crate::failover::Count;
use crate::locality::Locality;
use crate::order;
use crate::time::Millis;

/// The maximum number of hosts whose counts are remembered; attempts at further ones are not counted.
const MAX_HOSTS: usize = 10_000;

/// A list that was asked for before the last one, by at most this many milliseconds, is an old one that was late. If it
/// is more, the clock went back.
const LATE_LIST_MS: Millis = 60_000;

/// The counts of a cluster's hosts when they were last listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTotals {
    /// When that was; 0 if never.
    at: Millis,
    /// When Envoy was asked for that list.
    asked: Millis,
    /// In the order of their hashes; each hash once.
    hosts: Vec<HostTotal>,
}

encoded!(struct HostTotals { at, asked, hosts });

/// Attempts and errors of a host since Envoy created it, or of the hosts whose addresses have this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostTotal {
    hash: u32,
    attempts: u64,
    errors: u64,
}

encoded!(struct HostTotal { hash, attempts, errors });

/// What a cluster's hosts got from one list to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// When the list before was applied; 0 if this is the first, which shows no growth.
    pub since: Millis,
    /// Attempts and errors by locality. An error may be that of an attempt which was counted before.
    pub sums: Vec<(Locality, Count)>,
    /// Whether a host was replaced at its address, or all of them were: the cluster may have been replaced as a whole.
    pub were_replaced: bool,
    /// Whether hosts came, left or were replaced since the last list, or this is the first.
    pub have_changed: bool,
}

impl HostTotals {
    /// Takes in the hosts that Envoy lists at `now`, asked for at `asked`. A host that is new, or has the address of
    /// one that left, was created since the last list: all of its attempts are news. `None` if the list is older than
    /// the last one.
    pub fn grow(&mut self, hosts: &[HostStatus], asked: Millis, now: Millis) -> Option<Growth> {
        if is_late_list(asked, self.asked) {
            return None;
        }
        let mut growth = Growth { since: self.at, ..Growth::default() };
        // Of hosts beyond the limit nothing is remembered, so one that is not known need not be new.
        let was_cut = self.hosts.len() >= MAX_HOSTS;
        let mut met = 0_usize;
        let totals = totals(hosts);
        for (total, locality) in &totals {
            let before = self.of(total.hash);
            met = met.saturating_add(usize::from(before.is_some()));
            let same = before.filter(|before| before.attempts <= total.attempts && before.errors <= total.errors);
            growth.were_replaced |= before.is_some() && same.is_none();
            if before.is_none() && was_cut {
                continue;
            }
            let (attempts, errors) = same.map_or((0, 0), |before| (before.attempts, before.errors));
            growth.add(locality, total.attempts.saturating_sub(attempts), total.errors.saturating_sub(errors));
        }
        // Of two questions at the same time, Envoy may answer the later one first.
        if growth.were_replaced && is_late_list(asked, self.at.saturating_add(1)) {
            return None;
        }
        growth.were_replaced |= met == 0 && !self.hosts.is_empty();
        growth.have_changed = growth.were_replaced || met < self.hosts.len() || met < totals.len();
        let is_first = self.at == 0;
        self.hosts = totals.into_iter().map(|(total, _)| total).collect();
        (self.at, self.asked) = (now, asked);
        Some(if is_first { Growth { have_changed: true, ..Growth::default() } } else { growth })
    }

    fn of(&self, hash: u32) -> Option<HostTotal> {
        let index = self.hosts.binary_search_by_key(&hash, |host| host.hash).ok()?;
        self.hosts.get(index).copied()
    }
}

/// Whether a list that was asked for at `asked` is older than one that was taken in, asked for at `last`.
pub(super) fn is_late_list(asked: Millis, last: Millis) -> bool {
    asked < last && last.saturating_sub(asked) < LATE_LIST_MS
}

/// The counts of hosts with their localities, in the order of their hashes. Addresses with the same hash are counted
/// together.
fn totals(hosts: &[HostStatus]) -> Vec<(HostTotal, &Locality)> {
    let of_host = |host: &HostStatus| HostTotal {
        hash: endpoint_hash(&host.address),
        // An attempt that could not be sent is only among the errors.
        attempts: host.total.max(host.successes.saturating_add(host.errors)),
        errors: host.errors,
    };
    let mut totals: Vec<_> = hosts.iter().take(MAX_HOSTS).map(|host| (of_host(host), &host.locality)).collect();
    order::sort(&mut totals, |(a, _), (b, _)| a.hash < b.hash);
    totals.dedup_by(|(again, _), (total, _)| {
        let is_same = again.hash == total.hash;
        if is_same {
            total.attempts = total.attempts.saturating_add(again.attempts);
            total.errors = total.errors.saturating_add(again.errors);
        }
        is_same
    });
    totals
}

impl Growth {
    /// Whether any attempt was answered well.
    pub fn is_served(&self) -> bool {
        self.sums.iter().any(|(_, count)| count.served() > 0)
    }

    fn add(&mut self, locality: &Locality, attempts: u64, errors: u64) {
        if attempts == 0 && errors == 0 {
            return;
        }
        let limited = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let count = Count { attempts: limited(attempts), errors: limited(errors) };
        let has_room = self.sums.len() < MAX_LOCALITIES;
        match self.sums.iter_mut().find(|(known, _)| known == locality) {
            Some((_, sum)) => sum.add(count),
            None if has_room => self.sums.push((locality.clone(), count)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str, locality: &str, total: u64, errors: u64) -> HostStatus {
        let (address, locality) = (address.to_owned(), Locality::parse(locality));
        let successes = total.saturating_sub(errors);
        HostStatus { address, locality, total, successes, errors, ..HostStatus::default() }
    }

    fn sums(growth: &Growth) -> Vec<(&str, u32, u32)> {
        growth.sums.iter().map(|(at, count)| (at.as_str(), count.attempts, count.errors)).collect()
    }

    #[test]
    fn only_what_was_counted_since_the_last_list_is_news() {
        let mut totals = HostTotals::default();
        let first = totals.grow(&[host("a", "r/a", 100, 3)], 990, 1_000).unwrap();
        assert_eq!((first.since, first.sums.len(), first.have_changed), (0, 0, true));
        let hosts = [host("a", "r/a", 107, 4), host("b", "r/b", 5, 5)];
        let growth = totals.grow(&hosts, 1_990, 2_000).unwrap();
        assert_eq!((growth.since, growth.were_replaced), (1_000, false));
        assert_eq!(sums(&growth), [("r/a", 7, 1), ("r/b", 5, 5)]);
        assert_eq!(totals.grow(&hosts, 2_990, 3_000).unwrap().sums, []);
    }

    #[test]
    fn a_host_that_left_takes_nothing_from_the_others() {
        let mut totals = HostTotals::default();
        totals.grow(&[host("a", "r/a", 100, 0), host("b", "r/a", 900, 0)], 990, 1_000).unwrap();
        let growth = totals.grow(&[host("a", "r/a", 110, 0)], 1_990, 2_000).unwrap();
        assert_eq!((sums(&growth), growth.were_replaced), (vec![("r/a", 10, 0)], false));
        let growth = totals.grow(&[host("a", "r/a", 4, 0)], 2_990, 3_000).unwrap();
        assert_eq!((sums(&growth), growth.were_replaced), (vec![("r/a", 4, 0)], true), "replaced at its address");
        assert!(totals.grow(&[host("b", "r/a", 0, 0)], 3_990, 4_000).unwrap().were_replaced, "all of them");
    }

    #[test]
    fn attempts_that_could_not_be_sent_count() {
        let mut totals = HostTotals::default();
        let refused = |total, successes, errors| HostStatus { successes, ..host("a", "r/a", total, errors) };
        totals.grow(&[refused(10, 10, 0)], 990, 1_000).unwrap();
        assert_eq!(sums(&totals.grow(&[refused(10, 10, 50)], 1_990, 2_000).unwrap()), [("r/a", 50, 50)]);
        assert_eq!(sums(&totals.grow(&[refused(62, 10, 50)], 2_990, 3_000).unwrap()), [("r/a", 2, 0)], "in progress");
        assert_eq!(sums(&totals.grow(&[refused(62, 10, 52)], 3_990, 4_000).unwrap()), [("r/a", 0, 2)], "not again");
    }

    #[test]
    fn a_list_that_is_late_is_left_out_and_one_after_the_clock_went_back_is_not() {
        let mut totals = HostTotals::default();
        totals.grow(&[host("a", "r/a", 100, 0)], 100_000, 100_010).unwrap();
        assert_eq!(totals.grow(&[host("a", "r/a", 90, 0)], 99_000, 100_020), None);
        assert_eq!(totals.grow(&[host("a", "r/a", 90, 0)], 100_005, 100_020), None, "answered before the last one");
        assert_eq!(sums(&totals.grow(&[host("a", "r/a", 103, 0)], 101_000, 101_010).unwrap()), [("r/a", 3, 0)]);
        assert_eq!(sums(&totals.grow(&[host("a", "r/a", 104, 0)], 5_000, 5_010).unwrap()), [("r/a", 1, 0)]);
    }

    #[test]
    fn the_past_of_a_host_beyond_the_limit_is_no_news() {
        let many = |first: usize| -> Vec<HostStatus> {
            (first..first + MAX_HOSTS + 1).map(|i| host(&i.to_string(), "r/a", 1_000, 0)).collect()
        };
        let mut totals = HostTotals::default();
        totals.grow(&many(0), 990, 1_000).unwrap();
        assert_eq!(totals.grow(&many(1), 1_990, 2_000).unwrap().sums, []);
    }
}
