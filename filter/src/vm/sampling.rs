//! Which healthy requests are read whole while nothing is open: the first after each heartbeat, and of those beyond one
//! in so many, which is counted for all. To read a request's cluster and endpoint is most of what the filter costs.

/// After each heartbeat, this many healthy requests are read whole; where there are no more, counts are exact.
const WHOLE_PER_BEAT: u32 = 20;

/// The sample of healthy requests.
#[derive(Debug, Default)]
pub(crate) struct Sampling {
    /// Requests that were read whole since the last heartbeat.
    read: u32,
    /// Requests that were not read and are not yet counted.
    skipped: u32,
}

impl Sampling {
    /// Notes a heartbeat: the next requests are read whole again.
    pub(crate) fn on_heartbeat(&mut self) {
        self.read = 0;
    }

    /// For how many healthy requests the current one is counted, which is then read whole; `None` if it is not. One in
    /// `sample` is.
    pub(crate) fn weight(&mut self, sample: u32) -> Option<u32> {
        self.skipped = self.skipped.saturating_add(1);
        if self.read >= WHOLE_PER_BEAT && self.skipped < sample {
            return None;
        }
        self.read = self.read.saturating_add(1);
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_read_whole_and_of_many_one_in_so_many_counts_for_all() {
        let mut sampling = Sampling::default();
        let weights: Vec<u32> = (0..20 + 160).filter_map(|_| sampling.weight(16)).collect();
        assert_eq!(weights, [vec![1; 20], vec![16; 10]].concat());
        assert_eq!((0..7).find_map(|_| sampling.weight(16)), None);
        sampling.on_heartbeat();
        assert_eq!(sampling.weight(16), Some(8), "none is lost");
        assert!((0..1_000).all(|_| sampling.weight(1) == Some(1)), "all of them");
    }
}
