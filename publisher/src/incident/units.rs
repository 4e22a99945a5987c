//! Times, durations, counts and shares as people read them.

use std::fmt;

use filter_core::time::{Millis, rfc3339};

/// `15:43:09.567`, in UTC.
pub(crate) fn clock(at: Millis) -> String {
    rfc3339(at).get(11..23).unwrap_or_default().to_owned()
}

/// `15:43:09`, in UTC.
pub(crate) fn clock_seconds(at: Millis) -> String {
    rfc3339(at).get(11..19).unwrap_or_default().to_owned()
}

/// `2026-11-20`, in UTC.
pub(crate) fn day(at: Millis) -> String {
    rfc3339(at).get(..10).unwrap_or_default().to_owned()
}

/// `380 ms`, `12.7 s`, `4 min 9 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(millis: Millis) -> String {
    let seconds = (millis + 500) / 1000;
    let pair = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..59_950 => format!("{:.1} s", millis as f64 / 1000.0),
        _ if seconds < 3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        _ if seconds < 86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// `1 proxy`, `3 proxies`, `2 events`.
pub(crate) fn count(n: u64, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {what}s"),
    }
}

/// How many of all proxies: `2 of 3 proxies`, and `1 proxy` where there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenBy {
    /// The proxies that saw it.
    pub(crate) proxies: usize,
    /// All proxies whose logs were read.
    pub(crate) of: usize,
}

impl fmt::Display for SeenBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            0 | 1 => out.write_str("1 proxy"),
            all => write!(out, "{} of {}", self.proxies, count(all as u64, "proxy")),
        }
    }
}

/// `once`, `3 times`
pub(crate) fn times(n: usize) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// `100 %`; only nothing is written as 0 %, and only all as 100 %.
pub(crate) fn percent(share: f64) -> String {
    let percent = (share * 100.0).clamp(0.0, 100.0);
    match percent.round() {
        0.0 if percent > 0.0 => "under 1 %".to_owned(),
        100.0 if percent < 100.0 => "over 99 %".to_owned(),
        whole => format!("{whole} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_units_that_people_use() {
        let wanted = [
            (0, "0 ms"),
            (999, "999 ms"),
            (12_712, "12.7 s"),
            (59_940, "59.9 s"),
            (59_960, "1 min"),
            (249_000, "4 min 9 s"),
            (3_599_700, "1 h"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (millis, text) in wanted {
            assert_eq!(duration(millis), text);
        }
    }

    #[test]
    fn a_share_is_rounded_to_neither_nothing_nor_all() {
        assert_eq!(
            [percent(1.0), percent(0.998), percent(0.468), percent(0.001)],
            ["100 %", "over 99 %", "47 %", "under 1 %"]
        );
    }
}
