//! Durations as Istio takes them: as Go parses them, from 1 ms, in whole milliseconds.

use filter_core::config::Duration;

/// Go's units, in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("h", 3.6e12),
    ("m", 6e10),
    ("s", 1e9),
    ("ms", 1e6),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ns", 1.0),
];

/// Reads a duration that is to be 1 ms or longer. One that is longer than faultline counts is cut to a year.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(text: &str) -> Result<Duration, String> {
    let nanos = nanos(text)?;
    if nanos < 1e6 {
        return Err(format!("\"{text}\" is less than 1ms"));
    }
    if nanos % 1e6 != 0.0 {
        return Err(format!("\"{text}\" is no whole number of milliseconds"));
    }
    Duration::parse(text).or_else(|_| {
        let millis = format!("{:.0}", nanos / 1e6).parse().unwrap_or(u64::MAX);
        Ok(Duration::from_millis(millis))
    })
}

/// Reads a duration that may be nothing too; returns what is wrong with it.
pub(crate) fn problem_or_none(text: &str) -> Option<String> {
    match nanos(text) {
        Ok(nanos) if nanos.abs() < 1e6 => None,
        Ok(_) => read(text).err(),
        Err(problem) => Some(problem),
    }
}

/// Go's `time.ParseDuration`.
fn nanos(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is not a duration; write for example \"500ms\", \"30s\", \"5m\" or \"1h\"");
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0.0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total += number * size;
        rest = tail;
    }
    Ok(if text.starts_with('-') { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_parses_is_read() {
        for (text, millis) in [("1h30m", 5_400_000), ("0.5s", 500), ("+5s", 5_000), ("1000us", 1), ("2m0.5s", 120_500)]
        {
            assert_eq!(read(text).map(Duration::millis), Ok(millis), "{text}");
        }
        assert!(read("9000h").is_ok(), "longer than faultline counts, and Istio takes it");
        for text in ["", "5", "1d", "-5s", "0s", "1500us", "1.5ms", "1:30", "1 s", "2020-01-01", "ms"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!((problem_or_none("0s"), problem_or_none("5s")), (None, None));
        assert!(problem_or_none("-5s").is_some() && problem_or_none("x").is_some());
    }
}
