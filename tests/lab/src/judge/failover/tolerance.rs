//! What may differ although the filter is right: by sampling, chance and the time that an answer takes.

/// By how much a share may differ, besides chance.
pub(super) const SHARE_TOLERANCE: f64 = 0.05;

/// How late a failover may start, in milliseconds.
pub(super) const START_TOLERANCE: i64 = 1_000;

/// How far an end may be from the right one, in milliseconds.
pub(super) const END_TOLERANCE: i64 = 500;
