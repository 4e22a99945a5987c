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

/// How times are written: with their day where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// All is of one day.
    OneDay,
    /// A time of day alone would not tell which day.
    SeveralDays,
}

impl Clock {
    /// For what goes from one time to another.
    pub(crate) fn over(first: Millis, last: Millis) -> Self {
        if day(first) == day(last) { Self::OneDay } else { Self::SeveralDays }
    }

    /// `15:43:09.567`, or `2026-11-20 15:43:09.567`, in UTC.
    pub(crate) fn time(self, at: Millis) -> String {
        self.dated(at, clock(at))
    }

    /// `15:43:09`, or `2026-11-20 15:43:09`, in UTC.
    pub(crate) fn seconds(self, at: Millis) -> String {
        self.dated(at, clock_seconds(at))
    }

    fn dated(self, at: Millis, time: String) -> String {
        if self == Self::OneDay { time } else { format!("{} {time}", day(at)) }
    }
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

/// `2,313`
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 proxy`, `3 proxies`, `2,313 events`.
pub(crate) fn count(n: u64, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{} {stem}ies", number(n)),
        _ => format!("{} {what}s", number(n)),
    }
}

/// How many of all proxies: `2 of 3 proxies`, `1 proxy` where there is only one, and `2 proxies` where nobody knows how
/// many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenBy {
    /// The proxies that saw it.
    pub(crate) proxies: usize,
    /// All proxies whose logs were read; 0 where nobody knows how many there are.
    pub(crate) of: usize,
}

impl fmt::Display for SeenBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            0 => out.write_str(&count(self.proxies as u64, "proxy")),
            1 => out.write_str("1 proxy"),
            all => write!(out, "{} of {}", number(self.proxies as u64), count(all as u64, "proxy")),
        }
    }
}

/// `once`, `3 times`
pub(crate) fn times(n: usize) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", number(n as u64)) }
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

/// `100 %`, or `up to 100 %` where it is the most that is known of.
pub(crate) fn share(share: f64, is_peak: bool) -> String {
    if is_peak { format!("up to {}", percent(share)) } else { percent(share) }
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
    fn large_numbers_have_separators_and_several_days_are_told_apart() {
        assert_eq!([number(7), number(999), number(2_313), number(1_234_567)], ["7", "999", "2,313", "1,234,567"]);
        assert_eq!(count(570_000, "event"), "570,000 events");
        let at = 1_795_189_389_567;
        assert_eq!(Clock::over(at, at + 1).seconds(at), "15:43:09");
        assert_eq!(Clock::over(at, at + 86_400_000).time(at), "2026-11-20 15:43:09.567");
    }

    #[test]
    fn a_share_is_rounded_to_neither_nothing_nor_all() {
        assert_eq!(
            [percent(1.0), percent(0.998), percent(0.468), percent(0.001)],
            ["100 %", "over 99 %", "47 %", "under 1 %"]
        );
    }
}
