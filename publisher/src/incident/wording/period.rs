//! When something was, for how long, and what is still open.

use filter_core::time::Millis;

use crate::incident::away::PROXY_RESTARTED;
use crate::incident::logs::event::millis;
use crate::incident::model::{Failover, Open, Period};
use crate::incident::units::{Clock, count, duration};
use crate::incident::view::PeriodView;

/// Without a request away for longer than this, a locality's time of serving does not count on.
const GAP_MS: Millis = 2_000;

/// What is open is as long as the log tells of it; a log that ends less than this after the beginning tells nothing.
const TELLS_NOTHING_MS: Millis = 1_000;

/// How long traffic was away: `for 28.6 s`, or `for 11.8 s within 28.6 s` where requests went away in a part of the
/// time only.
pub(super) fn away_for<'a>(failovers: impl Iterator<Item = &'a Failover> + Clone) -> String {
    let whole: Millis = failovers.clone().map(|failover| failover.period.total).sum();
    // Of several proxies nothing tells whether their times of serving overlap.
    let is_told = |one: &Failover| one.ended > 0 && one.period.proxies == 1 && !one.received.is_empty();
    let served: Millis =
        failovers.clone().flat_map(|failover| &failover.received).map(|received| millis(received.seconds)).sum();
    if failovers.clone().all(is_told) && served.saturating_add(GAP_MS) < whole {
        format!("for {} within {}", duration(served), duration(whole))
    } else if whole < TELLS_NOTHING_MS && failovers.clone().any(|failover| failover.period.open) {
        "at the end of the log".to_owned()
    } else {
        format!("for {}", duration(whole))
    }
}

/// That a time counts until a proxy began anew, as nobody saw how it went on; empty where somebody saw the end.
pub(super) fn until_restart<'a>(mut failovers: impl Iterator<Item = &'a Failover>) -> &'static str {
    let nobody_saw = |failover: &Failover| failover.because.iter().eq([PROXY_RESTARTED]);
    if failovers.any(nobody_saw) { ", until its proxy restarted: the end was not seen" } else { "" }
}

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
        part(open.failing, "failing endpoint", " of which no end is told"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
