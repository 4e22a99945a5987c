//! When something was, for how long, and what is still open.

use crate::incident::model::{Open, Period};
use crate::incident::units::{Clock, count, duration};
use crate::incident::view::PeriodView;

/// A time in words; `ended` says how it ended, if it has.
pub(super) fn view(period: &Period, ended: &str, clock: Clock) -> PeriodView {
    let earlier = if period.began_earlier { "before " } else { "" };
    PeriodView {
        began: format!("{earlier}{}", clock.time(period.span.from)),
        lasted: duration(period.total),
        ended: if period.open { "not yet" } else { ended }.to_owned(),
        proxies: period.proxies,
    }
}

/// `6.8 s`, or `6.8 s, not over`.
pub(super) fn lasted(period: &Period) -> String {
    let so_far = if period.open { ", not over" } else { "" };
    format!("{}{so_far}", duration(period.total))
}

/// What is open, in words.
pub(super) fn still_open(open: Open) -> String {
    let part = |n: usize, what: &str, which: &str| (n > 0).then(|| format!("{}{which}", count(n as u64, what)));
    let parts = [
        part(open.ejected, "ejected endpoint", ""),
        part(open.failovers, "failover", ""),
        part(open.without_healthy, "service", " without a healthy endpoint"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
