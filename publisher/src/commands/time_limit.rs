//! A time on the command line: in full, of a day, or how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use filter_core::config::Duration;
use filter_core::time::Millis;

use crate::commands::options::WrongUsage;
use crate::incident::logs::event::parse_time;

const DAY_MS: Millis = 86_400_000;

/// The time now.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or_default()
}

/// A time given on the command line.
pub(crate) enum Limit {
    /// In full.
    At(Millis),
    /// Milliseconds since midnight, on the log's first day.
    OnTheDay(Millis),
}

impl Limit {
    /// Reads `2026-11-20T15:10:00Z`, `15:10[:30]` or `10m`, which is before now.
    ///
    /// # Errors
    /// For anything else.
    pub(crate) fn read(text: &str) -> Result<Self, WrongUsage> {
        let of_day = |text: &str| {
            let full = if text.matches(':').count() == 1 { format!("{text}:00") } else { text.to_owned() };
            parse_time(&format!("1970-01-01T{full}Z")).filter(|at| *at < DAY_MS)
        };
        let before_now = |text: &str| {
            let ago = Duration::parse(text).ok()?.millis();
            now().checked_sub(ago)
        };
        let at = parse_time(text).or_else(|| before_now(text)).map(Self::At);
        at.or_else(|| of_day(text).map(Self::OnTheDay)).ok_or_else(|| {
            WrongUsage(anyhow!(
                "`{text}` is no time; write 2026-11-20T15:10:00Z, 15:10 or 15:10:30 (UTC), or how long ago, such as 10m"
            ))
        })
    }

    /// The time in full; a time of day is taken on the day of `at`.
    pub(crate) fn on(&self, at: Millis) -> Millis {
        match self {
            Self::At(time) => *time,
            Self::OnTheDay(time) => at - at % DAY_MS + time,
        }
    }
}
