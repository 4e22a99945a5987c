//! The filter's time, and how events write it. Not here: a clock; the caller always passes the time.

/// Milliseconds since the Unix epoch, by the host's wall clock. It may jump in either direction, so durations are
/// always computed with saturating subtraction.
pub type Millis = u64;

/// Microseconds since the Unix epoch, for the order of events within a millisecond.
pub type Micros = u64;

/// `now - then` in seconds; zero if the clock went backwards.
pub fn seconds_between(then: Millis, now: Millis) -> f64 {
    let millis = now.saturating_sub(then);
    // Exact below 2^53 ms, which is 285,000 years.
    millis as f64 / 1000.0
}

/// RFC 3339 in UTC with milliseconds, `2026-01-31T08:05:09.042Z`. A time in a year that cannot be written is written as
/// the epoch.
pub fn rfc3339(at: Millis) -> String {
    let seconds = i64::try_from(at / 1000).unwrap_or(0);
    let when = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        when.year(),
        u8::from(when.month()),
        when.day(),
        when.hour(),
        when.minute(),
        when.second(),
        at % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc3339_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_208_000_042), "2024-02-29T12:00:00.042Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00.615Z");
    }

    #[test]
    fn a_clock_that_went_backwards_gives_zero() {
        assert_eq!(seconds_between(5_000, 4_000), 0.0);
        assert_eq!(seconds_between(5_000, 5_250), 0.25);
    }
}
