//! The number of open findings anywhere in the proxy: a total in shared data, shown as the gauge
//! `faultline_open_findings`, because a gauge is the cheapest value to read.
//!
//! It rises before a finding is shared and falls after the finding is closed, so a worker that reads zero misses
//! nothing. Each heartbeat sets the gauge to the total again: two workers may set it in the wrong order, and it may
//! start over at 0 when the module is replaced.

use super::compare_and_swap;
use crate::host::{self, MetricKind};
use filter_core::metric::Metric;

/// The gauge, once it is defined.
#[derive(Debug, Default)]
pub(crate) struct OpenFindings {
    gauge: Option<u32>,
}

impl OpenFindings {
    /// Whether any finding is open anywhere in the proxy. Costs one cheap host call.
    pub(crate) fn any(&mut self) -> bool {
        // If the gauge cannot be read, assume that something is open.
        self.gauge().is_none_or(|id| host::metric(id) != Ok(0))
    }

    /// The total that the workers share.
    pub(crate) fn total() -> u64 {
        compare_and_swap::total(&compare_and_swap::key("open"))
    }

    /// Sets the gauge.
    pub(crate) fn show(&mut self, total: u64) {
        if let Some(id) = self.gauge() {
            let _ = host::record_metric(id, total);
        }
    }

    /// Changes the total that the workers share, and the gauge with it.
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
