//! How long to wait before a retry: as long as the server asks for, otherwise twice as long each time. Ten percent of
//! jitter either way keeps many clients that failed together from returning together.

use std::time::{Duration, SystemTime};

/// The first pause; each further pause is twice as long.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause that we choose ourselves.
const LONGEST: Duration = Duration::from_secs(8);

/// The longest pause that a server may ask for. A longer one ends the retries and is reported.
pub(crate) const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// The pause after this many tries, counted from 1.
pub(crate) fn pause(tries: u32) -> Duration {
    let steady = FIRST.saturating_mul(2u32.saturating_pow(tries.saturating_sub(1))).min(LONGEST);
    steady.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// Parses `Retry-After`: seconds or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // A date in the past means now.
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_a_tenth() {
        for (tries, steady) in [(1, 250), (2, 500), (3, 1000), (6, 8000), (40, 8000)] {
            let steady = Duration::from_millis(steady);
            for _ in 0..100 {
                let pause = pause(tries);
                assert!(pause >= steady.mul_f64(0.89) && pause <= steady.mul_f64(1.11), "{tries}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_server_may_ask_in_seconds_or_by_date() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 15:00:00 GMT").unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Fri, 20 Nov 2026 15:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Fri, 20 Nov 2026 14:00:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
