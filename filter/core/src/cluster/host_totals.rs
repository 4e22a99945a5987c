//! What Envoy has counted of each host of a cluster, from one list of its hosts to the next.
//!
//! These counts show all attempts at a cluster, also those that Envoy retried and those that the filter does not see.
//! They are a shared value of their own, because it is large and needed only when a list arrives.

use super::members::endpoint_hash;
use crate::admin::host_lists::HostStatus;
use crate::failover::Count;
use crate::locality::Locality;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// The maximum number of hosts whose counts are remembered; attempts at further ones are not counted.
const MAX_HOSTS: usize = 10_000;

/// The counts of a cluster's hosts when they were last listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTotals {
    /// When that was; 0 if never.
    at: Millis,
    /// In the order of their hashes.
    hosts: Vec<HostTotal>,
}

/// Attempts and errors of a host since Envoy created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HostTotal {
    hash: u32,
    total: u64,
    errors: u64,
}

/// What a cluster's hosts got from one list to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// When the list before was applied; 0 if this is the first, which shows no growth.
    pub since: Millis,
    /// Attempts and errors by locality.
    pub sums: Vec<(Locality, Count)>,
    /// Whether a host left or was replaced: the cluster may have been replaced as a whole.
    pub have_left: bool,
}

impl HostTotals {
    /// Takes in the hosts that Envoy lists at `now`. A host that is new, or has the address of one that left, was
    /// created since the last list: all of its attempts are news.
    pub fn grow(&mut self, hosts: &[HostStatus], now: Millis) -> Growth {
        let mut growth = Growth { since: self.at, ..Growth::default() };
        let mut totals: Vec<HostTotal> = Vec::with_capacity(hosts.len().min(MAX_HOSTS));
        let mut met = 0_usize;
        for host in hosts.iter().take(MAX_HOSTS) {
            let total = HostTotal { hash: endpoint_hash(&host.address), total: host.total, errors: host.errors };
            let before = self.of(total.hash);
            met = met.saturating_add(usize::from(before.is_some()));
            let same = before.filter(|before| before.total <= total.total && before.errors <= total.errors);
            growth.have_left |= before.is_some() && same.is_none();
            let (attempts, errors) = same.map_or((0, 0), |before| (before.total, before.errors));
            growth.add(&host.locality, total.total.saturating_sub(attempts), total.errors.saturating_sub(errors));
            totals.push(total);
        }
        growth.have_left |= met < self.hosts.len();
        totals.sort_unstable_by_key(|host| host.hash);
        let is_first = self.at == 0;
        (self.at, self.hosts) = (now, totals);
        if is_first { Growth::default() } else { growth }
    }

    fn of(&self, hash: u32) -> Option<HostTotal> {
        let index = self.hosts.binary_search_by_key(&hash, |host| host.hash).ok()?;
        self.hosts.get(index).copied()
    }
}

impl Growth {
    fn add(&mut self, locality: &Locality, attempts: u64, errors: u64) {
        if attempts == 0 {
            return;
        }
        let limited = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let count = Count { attempts: limited(attempts), errors: limited(errors.min(attempts)) };
        match self.sums.iter_mut().find(|(known, _)| known == locality) {
            Some((_, sum)) => sum.add(count),
            None => self.sums.push((locality.clone(), count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str, locality: &str, total: u64, errors: u64) -> HostStatus {
        let (address, locality) = (address.to_owned(), Locality::parse(locality));
        HostStatus { address, locality, total, errors, ..HostStatus::default() }
    }

    fn sums(growth: &Growth) -> Vec<(&str, u32, u32)> {
        growth.sums.iter().map(|(at, count)| (at.as_str(), count.attempts, count.errors)).collect()
    }

    #[test]
    fn only_what_was_counted_since_the_last_list_is_news() {
        let mut totals = HostTotals::default();
        assert_eq!(totals.grow(&[host("a", "r/a", 100, 3)], 1_000), Growth::default(), "the first list");
        let growth = totals.grow(&[host("a", "r/a", 107, 4), host("b", "r/b", 5, 5)], 2_000);
        assert_eq!((growth.since, growth.have_left), (1_000, false));
        assert_eq!(sums(&growth), [("r/a", 7, 1), ("r/b", 5, 5)]);
        assert_eq!(totals.grow(&[host("a", "r/a", 107, 4), host("b", "r/b", 5, 5)], 3_000).sums, []);
    }

    #[test]
    fn a_host_that_left_takes_nothing_from_the_others() {
        let mut totals = HostTotals::default();
        totals.grow(&[host("a", "r/a", 100, 0), host("b", "r/a", 900, 0)], 1_000);
        let growth = totals.grow(&[host("a", "r/a", 110, 0)], 2_000);
        assert_eq!((sums(&growth), growth.have_left), (vec![("r/a", 10, 0)], true));
        let growth = totals.grow(&[host("a", "r/a", 4, 0)], 3_000);
        assert_eq!((sums(&growth), growth.have_left), (vec![("r/a", 4, 0)], true), "replaced at its address");
    }
}
