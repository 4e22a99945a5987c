//! Which healthy requests are read whole while nothing is open: the first after each heartbeat, and of those beyond one
//! in so many, which is counted for all. To read a request's cluster and endpoint is most of what the filter costs, and
//! where there are thousands in a second, fewer of them tell as much.
//!
//! The gap between two of them is random: a balancer that goes round its endpoints would else meet the same one each
//! time.

use super::index::{ClusterIndex, LocalityIndex};

/// After each heartbeat, this many healthy requests are read whole; where there are no more, counts are exact.
const WHOLE_PER_BEAT: u32 = 20;

/// Once so many were read whole after a heartbeat, a sample is that many times smaller.
const MANY_PER_BEAT: u32 = 200;
const SMALLER: u32 = 16;

/// The sample of the healthy requests of one configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampling {
    /// Requests that were read whole since the last heartbeat.
    read: u32,
    /// Requests that were not read and are not yet counted.
    skipped: u32,
    /// After how many requests, with it, the next one is read; 0 if that is not yet chosen.
    gap: u32,
    /// The state of the generator of gaps.
    state: u32,
    /// Where the last request went that was read whole; `None` if to nothing that is watched.
    last: Option<(ClusterIndex, LocalityIndex)>,
}

impl Sampling {
    /// Whether the current healthy request is read whole. On average one in `sample` is, and fewer where there are
    /// thousands in a second; with a `sample` of 1, every one.
    pub(crate) fn takes(&mut self, sample: u32) -> bool {
        self.skipped = self.skipped.saturating_add(1);
        if self.read < WHOLE_PER_BEAT {
            return true;
        }
        if self.gap == 0 {
            let is_smaller = sample > 1 && self.read >= MANY_PER_BEAT;
            self.gap = self.next_gap(if is_smaller { sample.saturating_mul(SMALLER) } else { sample });
        }
        self.skipped >= self.gap
    }

    /// For how many requests the one that was taken stands, itself included.
    pub(crate) fn stands_for(&self) -> u32 {
        self.skipped
    }

    /// Notes where the request that was taken went. Returns for how many it is counted.
    pub(crate) fn count_for(&mut self, went_to: Option<(ClusterIndex, LocalityIndex)>) -> u32 {
        self.read = self.read.saturating_add(1);
        self.last = went_to;
        self.gap = 0;
        std::mem::take(&mut self.skipped)
    }

    /// A heartbeat: the next requests are read whole again. Returns how many were skipped since the last one that was
    /// read, and where that went, which they are counted with.
    pub(crate) fn on_heartbeat(&mut self) -> Option<((ClusterIndex, LocalityIndex), u32)> {
        self.read = 0;
        let skipped = std::mem::take(&mut self.skipped);
        self.last.filter(|_| skipped > 0).map(|last| (last, skipped))
    }

    /// A number from 1 to twice `sample` less 1, each as likely as the other: Knuth's linear congruence, of which the
    /// upper bits are used.
    fn next_gap(&mut self, sample: u32) -> u32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let choices = sample.saturating_mul(2).saturating_sub(1).max(1);
        (self.state >> 8).checked_rem(choices).unwrap_or(0).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sampling: &mut Sampling, requests: u32, sample: u32) -> Vec<u32> {
        let mut counts = Vec::new();
        for _ in 0..requests {
            if sampling.takes(sample) {
                counts.push(sampling.count_for(None));
            }
        }
        counts
    }

    #[test]
    fn few_are_read_whole_and_of_many_one_in_so_many_counts_for_all() {
        let mut sampling = Sampling::default();
        let counted = counts(&mut sampling, 1_620, 16);
        assert_eq!(counted[..20], [1; 20]);
        assert!((100..140).contains(&counted.len()), "one in 16: {}", counted.len());
        assert!(counted.iter().all(|count| *count < 32));
        assert_eq!(counted.iter().sum::<u32>() + sampling.skipped, 1_620, "none is lost");
        let mut exact = Sampling::default();
        assert_eq!(counts(&mut exact, 1_000, 1), [1; 1_000], "all of them");
    }

    #[test]
    fn of_thousands_in_a_second_fewer_are_read() {
        let mut sampling = Sampling::default();
        let counted = counts(&mut sampling, 25_000, 16);
        assert!((250..350).contains(&counted.len()), "200 of about 3,000, and one in 256: {}", counted.len());
        assert_eq!(counted.iter().sum::<u32>() + sampling.skipped, 25_000, "none is lost");
        let _ = sampling.on_heartbeat();
        assert_eq!(counts(&mut sampling, 20, 16), [1; 20]);
        assert_eq!(counts(&mut Sampling::default(), 25_000, 1).len(), 25_000, "all of them");
    }

    #[test]
    fn a_balancer_that_goes_round_is_not_met_at_the_same_endpoint_each_time() {
        let mut sampling = Sampling::default();
        let mut counted = [0_u32; 4];
        for request in 0..40_000_usize {
            if request % 2_000 == 0 {
                let _ = sampling.on_heartbeat();
            }
            if sampling.takes(16) {
                counted[request % 4] += sampling.count_for(None);
            }
        }
        for count in counted {
            assert!((9_000..11_000).contains(&count), "{counted:?}");
        }
    }
}
