//! Whether a failover had to start, and whether one that was told had reason to.

use super::history::{History, Moment};
use super::series::{Series, Way};
use super::tolerance::{SHARE_TOLERANCE, START_TOLERANCE};
use crate::envoy::events::Event;
use crate::judge::scene::WINDOW;

/// Home must have had nothing in rotation for so long, in milliseconds, for a failover to be certain.
const CERTAINLY_LOST: i64 = 200;

/// The same where nothing at home is ejected: no error need come then, and while all is well the filter reads one
/// request in 16 whole and Envoy's lists about twice a second.
const QUIETLY_LOST: i64 = 700;

/// A share over a window of trouble that is certainly a failover, and the least requests that make it so.
const CERTAIN_SHARE: f64 = 0.15;
const CERTAIN_REQUESTS: u64 = 30;

/// A share that can be taken for a failover.
const POSSIBLE_SHARE: f64 = 0.03;

/// How long before an event what it tells of may have been so, in milliseconds.
const BEFORE: i64 = 1_000;

/// How long after an event a sample may first show what it tells of, in milliseconds.
const AFTER: i64 = 150;

/// A span in which a failover must be going on at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certain {
    /// When it began, in milliseconds since the Unix epoch.
    pub(super) from: i64,
    /// By when it must have been told.
    pub(super) by: i64,
    /// Why.
    pub(super) why: String,
}

pub(super) fn window() -> i64 {
    i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX)
}

/// Every span in which there certainly was a failover.
pub(super) fn certain(history: &History) -> Vec<Certain> {
    let mut all = Vec::new();
    for (from, to) in spans(&history.moments, |moment| moment.healthy == 0) {
        let answered = history.attempts.between(from, to).iter().find(|sent| sent.way == Way::Away && sent.answered);
        let is_open = history.moments(from, to).iter().any(|moment| moment.causes.contains("ejected"));
        let least = if is_open { CERTAINLY_LOST } else { QUIETLY_LOST };
        if let Some(first) = answered.filter(|_| to - from >= least + history.unnoticed) {
            let why = format!("nothing in rotation at home for {} ms, then answered in {}", to - from, first.locality);
            // What no error shows is noticed that much later.
            let noticed = first.at + history.unnoticed + least - CERTAINLY_LOST;
            all.push(Certain { from: first.at, by: noticed + START_TOLERANCE, why });
        }
    }
    for (from, to) in spans(&history.moments, |moment| !moment.is_whole()) {
        let full = from + window();
        let large = |series: &&Series| {
            let (requests, _) = series.counts(from, full);
            let away = answered_away(series, from, full);
            requests >= CERTAIN_REQUESTS && away as f64 >= CERTAIN_SHARE * requests as f64
        };
        if to >= full + history.unnoticed && history.series().iter().all(large) {
            let (requests, away) = history.attempts.counts(from, full);
            let why = format!("home in trouble for {} ms, {away} of {requests} went away", to - from);
            all.push(Certain { from, by: full + START_TOLERANCE + history.unnoticed, why });
        }
    }
    all
}

fn answered_away(series: &Series, from: i64, to: i64) -> u64 {
    let answered = series.between(from, to).iter().filter(|sent| sent.way == Way::Away && sent.answered);
    answered.map(|sent| sent.count).sum()
}

/// The spans in which every moment is so.
fn spans(moments: &[Moment], is_so: impl Fn(&Moment) -> bool) -> Vec<(i64, i64)> {
    let runs = moments.chunk_by(|a, b| is_so(a) == is_so(b));
    let so = runs.filter(|run| run.first().is_some_and(&is_so));
    so.filter_map(|run| Some((run.first()?.at, run.last()?.at))).collect()
}

/// Everything wrong with a `failover_started` or `failover_changed` at `at`, a line each.
pub(super) fn wrong_with(event: &Event, at: i64, history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    let moments = history.moments(at - BEFORE, at + AFTER);
    let trouble: Vec<&Moment> = moments.iter().filter(|moment| !moment.is_whole()).collect();
    if trouble.is_empty() {
        return vec!["every endpoint at home was in rotation".to_owned()];
    }
    if !trouble.iter().any(|moment| moment.causes.contains(event.text("cause"))) {
        let causes: Vec<_> = trouble.iter().flat_map(|moment| &moment.causes).collect();
        wrong.push(format!("the cause was one of {causes:?}"));
    }
    if !trouble.iter().any(|moment| moment.lost.contains(event.text("from"))) {
        wrong.push(format!("what was lost was in {:?}", trouble.last().map(|moment| &moment.lost)));
    }
    let told = |key: &str| event.number(key).unwrap_or(-1.0);
    let (healthy, endpoints) = (told("healthy_at_home"), told("endpoints_at_home"));
    // Between two samples, several endpoints may have left rotation one after the other.
    let was_so = |a: &Moment, b: &Moment| {
        let (least, most) = (a.healthy.min(b.healthy) as f64, a.healthy.max(b.healthy) as f64);
        a.endpoints as f64 == endpoints && b.endpoints == a.endpoints && least < healthy && healthy < most
    };
    let is_sampled = trouble.iter().any(|m| m.healthy as f64 == healthy && m.endpoints as f64 == endpoints);
    if !is_sampled && !moments.windows(2).any(|pair| was_so(&pair[0], &pair[1])) {
        let seen: Vec<_> = trouble.iter().map(|m| (m.healthy, m.endpoints)).collect();
        wrong.push(format!("home had (in rotation, of) {:?}", distinct(&seen)));
    }
    let is_lost = trouble.iter().any(|moment| moment.healthy == 0);
    wrong.extend(wrong_destination(event.text("to"), at, history, is_lost));
    wrong.extend(wrong_share(told("share"), at, history, is_lost));
    wrong
}

fn wrong_destination(to: &str, at: i64, history: &History, is_lost: bool) -> Option<String> {
    let receives_most = |series: &&Series, from: i64, until: i64| {
        let most = localities(series, from, until).iter().map(|l| series.away_to(l, from, until)).max();
        let own = series.away_to(to, from, until);
        own > 0 && most.is_some_and(|most| own as f64 >= 0.4 * most as f64)
    };
    let spans = [(at - window() - 300, at + AFTER), (at - 300, at + 300), (at - window() / 2, at + AFTER)];
    let right = history.series().iter().any(|series| spans.iter().any(|(a, b)| receives_most(series, *a, *b)));
    // The first request away shows one destination only.
    let is_first = is_lost && history.attempts.away_to(to, at - 300, at + AFTER) > 0;
    (!right && !is_first).then(|| {
        let (from, until) = spans[0];
        let seen = localities(&history.attempts, from, until);
        let seen: Vec<_> = seen.iter().map(|l| (*l, history.attempts.away_to(l, from, until))).collect();
        format!("requests went to {seen:?}")
    })
}

/// Localities away that got requests.
pub(super) fn localities(series: &Series, from: i64, until: i64) -> Vec<&str> {
    let away = series.between(from, until).iter().filter(|sent| sent.way == Way::Away);
    let mut all: Vec<&str> = away.map(|sent| sent.locality.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The share, unless it is one that can be measured over a window, or over the trouble so far.
fn wrong_share(told: f64, at: i64, history: &History, is_lost: bool) -> Option<String> {
    if is_lost && told == 1.0 {
        return None;
    }
    let (mut least, mut most) = (1.0_f64, 0.0_f64);
    for series in history.series() {
        for until in (at - 400..=at + AFTER).step_by(50) {
            for length in (window() / 2..=window()).step_by(100) {
                let (requests, away) = series.counts(until - length, until);
                if requests > 0 {
                    let share = away as f64 / requests as f64;
                    let chance = 1.5 * (share * (1.0 - share) / requests as f64).sqrt();
                    (least, most) = (least.min(share - chance), most.max(share + chance));
                }
            }
        }
    }
    if most < POSSIBLE_SHARE {
        return Some(format!("no share above {most:.3} went away"));
    }
    let right = (least - SHARE_TOLERANCE..=most + SHARE_TOLERANCE).contains(&told);
    (!right).then(|| format!("the share was {least:.3} to {most:.3}"))
}

/// Values without repetitions.
fn distinct<T: Clone + PartialEq>(values: &[T]) -> Vec<T> {
    let mut distinct = values.to_vec();
    distinct.dedup();
    distinct
}
