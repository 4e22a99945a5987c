//! How many findings are not over anywhere in the proxy: a total in shared data, shown as the gauge
//! `faultline_open_findings`, because a gauge costs least to read.
//!
//! It is raised before a finding is shared and lowered after it is closed, so a worker that reads zero has missed
//! nothing. The gauge is set to the total again with each heartbeat: two workers may set it in the wrong order, and it
//! may start over at 0 when the module is replaced.

use super::compare_and_swap;
use crate::host::{self, MetricKind};
use filter_core::metric::Metric;

/// The gauge, once it is defined.
#[derive(Debug, Default)]
pub(crate) struct OpenFindings {
    gauge: Option<u32>,
}

impl OpenFindings {
    /// Whether anything is not over anywhere in the proxy. One cheap host call.
    pub(crate) fn any(&mut self) -> bool {
        // Where it cannot be read, look closer.
        self.gauge().is_none_or(|id| host::metric(id) != Ok(0))
    }

    /// The number that the workers share.
    pub(crate) fn total() -> u64 {
        compare_and_swap::total(&compare_and_swap::key("open"))
    }

    /// Sets the gauge.
    pub(crate) fn show(&mut self, total: u64) {
        if let Some(id) = self.gauge() {
            let _ = host::record_metric(id, total);
        }
    }

    /// Changes the number that the workers share, and the gauge with it.
    pub(super) fn add(&mut self, by: i64) {
        if let Some(total) = (by != 0).then(|| compare_and_swap::add(&compare_and_swap::key("open"), by)).flatten() {
            self.show(total);
        }
    }

    fn gauge(&mut self) -> Option<u32> {
        if self.gauge.is_none() {
            self.gauge = host::define_metric(MetricKind::Gauge, Metric::OpenFindings.name()).ok();
        }
        self.gauge
    }
}
