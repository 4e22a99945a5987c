//! The time of day that never goes back.

use std::time::{Duration, Instant, SystemTime};

use hot_switch_core::Moment;
use time::OffsetDateTime;

/// Counts from the time of day at which it was made: moments can be compared with those that an agent before this one
/// left in a kernel, and a clock that is set back changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    at: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), at }
    }

    /// Now, since 1970.
    pub(super) fn now(&self) -> Moment {
        self.at.saturating_add(self.began.elapsed())
    }

    /// Now, as people read it.
    pub(super) fn date(&self) -> OffsetDateTime {
        let milliseconds = i128::try_from(self.now().as_nanos()).unwrap_or(0);
        OffsetDateTime::from_unix_timestamp_nanos(milliseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}
