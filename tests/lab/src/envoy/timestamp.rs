//! Times that Envoy and the filter write, as numbers that can be compared. Not here: clocks.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An RFC 3339 time in milliseconds since the Unix epoch; `None` if it is not one.
pub fn millis(text: &str) -> Option<i64> {
    let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(nanoseconds / 1_000_000).ok()
}

/// Milliseconds since the Unix epoch as an RFC 3339 time in UTC.
pub fn of_millis(millis: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// When a line of Envoy's log was written, from its prefix `[2026-01-31 08:05:09.042]`, in UTC.
pub fn of_log_line(line: &str) -> Option<i64> {
    let (date, time) = line.strip_prefix('[')?.split_once(']')?.0.split_once(' ')?;
    millis(&format!("{date}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_tell_the_same_moment() {
        assert_eq!(millis("1970-01-02T00:00:00.042Z"), Some(86_400_042));
        assert_eq!(of_log_line("[1970-01-02 00:00:00.042][7][warning][wasm] x"), Some(86_400_042));
        assert_eq!(of_log_line("no time"), None);
        assert_eq!(millis(&of_millis(86_400_042)), Some(86_400_042));
    }
}
