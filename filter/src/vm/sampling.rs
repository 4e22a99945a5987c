//! Which healthy requests are read whole while nothing is open: the first after each heartbeat, and of those beyond one
//! in so many, which is counted for all. To read a request's cluster and endpoint is most of what the filter costs.

use super::index::{ClusterIndex, LocalityIndex};

/// After each heartbeat, this many healthy requests are read whole; where there are no more, counts are exact.
const WHOLE_PER_BEAT: u32 = 20;

/// The sample of the healthy requests of one configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampling {
    /// Requests that were read whole since the last heartbeat.
    read: u32,
    /// Requests that were not read and are not yet counted.
    skipped: u32,
    /// Where the last request went that was read whole; `None` if to nothing that is watched.
    last: Option<(ClusterIndex, LocalityIndex)>,
}

impl Sampling {
    /// Whether the current healthy request is read whole. One in `sample` is.
    pub(crate) fn takes(&mut self, sample: u32) -> bool {
        self.skipped = self.skipped.saturating_add(1);
        self.read < WHOLE_PER_BEAT || self.skipped >= sample
    }

    /// Notes where the request that was taken went. Returns for how many it is counted.
    pub(crate) fn count_for(&mut self, went_to: Option<(ClusterIndex, LocalityIndex)>) -> u32 {
        self.read = self.read.saturating_add(1);
        self.last = went_to;
        std::mem::take(&mut self.skipped)
    }

    /// A heartbeat: the next requests are read whole again. Returns how many were skipped since the last one that was
    /// read, and where that went, which they are counted with.
    pub(crate) fn on_heartbeat(&mut self) -> Option<((ClusterIndex, LocalityIndex), u32)> {
        self.read = 0;
        let skipped = std::mem::take(&mut self.skipped);
        self.last.filter(|_| skipped > 0).map(|last| (last, skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_read_whole_and_of_many_one_in_so_many_counts_for_all() {
        let mut sampling = Sampling::default();
        let mut counts = |requests: usize, sample: u32| -> Vec<u32> {
            let mut counts = Vec::new();
            for _ in 0..requests {
                if sampling.takes(sample) {
                    counts.push(sampling.count_for(None));
                }
            }
            counts
        };
        assert_eq!(counts(20 + 160, 16), [vec![1; 20], vec![16; 10]].concat());
        assert_eq!(counts(7, 16), [0; 0]);
        assert_eq!(counts(1, 1), [8], "none is lost");
        assert_eq!(counts(100, 1), [1; 100], "all of them");
    }
}
