//! What bounds the bypasses of all pods together.

use crate::Moment;

/// What the limits per minute are counted over.
pub(super) const MINUTE: Moment = Moment::from_secs(60);

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The share of a workload's pods that may be bypassed at once, in percent; at least one pod may.
    pub budget_percent: usize,
    /// How many pods may be bypassed anew within a minute.
    pub per_minute: usize,
    /// The share of all proxies that may begin to fail within a minute, in percent; beyond it the breaker opens.
    pub breaker_percent: usize,
    /// With fewer proxies failing than this, the breaker stays closed, whatever their share.
    pub breaker_at_least: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { budget_percent: 30, per_minute: 5, breaker_percent: 10, breaker_at_least: 5 }
    }
}
