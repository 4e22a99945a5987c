//! When a failover was over, and what went away in it.

use super::history::History;
use super::series::{Sent, Series, Way};
use super::start::{localities, window};
use super::tolerance::END_TOLERANCE;
use crate::envoy::events::Event;
use crate::judge::scene::END_AFTER;

/// What keeps a failover from being over: at a time, until a time, in milliseconds since the Unix epoch.
type Hold = (i64, i64);

/// A failover lasts at least so long, in milliseconds.
const SHORTEST: i64 = 1_000;

/// The moments at which a failover that started at `started` may have been over. There are several where something
/// happened within the tolerance of a possible end: it may have been just before or just after it.
pub(super) fn ends(history: &History, started: i64) -> Vec<i64> {
    let answered = |sent: &Sent| sent.answered;
    // Those about the time at which their endpoint moved may have gone to where it was, or to where it is.
    let is_certain = |sent: &Sent| sent.perhaps.is_none();
    let mut all = ends_by(&holds(history, &history.attempts, answered), started);
    all.extend(ends_by(&holds(history, &history.attempts, is_certain), started));
    all.extend(ends_by(&holds(history, &history.attempts, |_| true), started));
    all.extend(ends_by(&holds(history, &history.counted, is_certain), started));
    all.extend(ends_by(&holds(history, &history.counted, |_| true), started));
    all.sort_unstable();
    all.dedup();
    all
}

/// Over when home has been whole for a while, and when the last request away has been out of the window for as long.
fn holds(history: &History, series: &Series, counts: impl Fn(&Sent) -> bool) -> Vec<Hold> {
    let after = i64::try_from(END_AFTER.as_millis()).unwrap_or(i64::MAX);
    let away = series.between(i64::MIN, i64::MAX).iter().filter(|sent| sent.way == Way::Away && counts(sent));
    let away = away.map(|sent| (sent.at, sent.at + window() + after));
    let trouble = history.moments.iter().filter(|moment| !moment.is_whole()).map(|m| (m.at, m.at + after));
    let mut holds: Vec<Hold> = away.chain(trouble).collect();
    holds.sort_unstable();
    holds
}

fn ends_by(holds: &[Hold], started: i64) -> Vec<i64> {
    let (mut end, mut all) = (started, Vec::new());
    for (at, until) in holds {
        if *at > end + END_TOLERANCE && end > started {
            break;
        }
        if *at > end - END_TOLERANCE && end > started + SHORTEST {
            all.push(end);
        }
        end = end.max(*until);
    }
    all.push(end);
    all
}

/// Everything wrong with a `failover_ended` at `at` of a failover that started at `started`, a line each.
pub(super) fn wrong_with(event: &Event, (started, at): (i64, i64), history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    let ends = ends(history, started);
    if !ends.iter().any(|end| (end - at).abs() <= END_TOLERANCE) {
        let by: Vec<i64> = ends.iter().map(|end| at - end).collect();
        wrong.push(format!("the end is late by {by:?} ms"));
    }
    if event.text("because") != "recovered" {
        wrong.push("home recovered".to_owned());
    }
    let told = event.fields["destinations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let requests = |locality: &str| {
        let of = told.iter().find(|d| d["to"] == locality);
        of.and_then(|destination| destination["requests"].as_f64()).unwrap_or(0.0)
    };
    let possible = localities(&history.attempts, started - 2 * window(), at);
    for locality in &possible {
        let (least, most) = requests_to(locality, (started, at), history);
        if !(least..=most).contains(&requests(locality)) {
            wrong.push(format!("{locality} got {least:.0} to {most:.0} requests"));
        }
    }
    let named = told.iter().filter_map(|destination| destination["to"].as_str());
    wrong.extend(named.filter(|to| !possible.contains(to)).map(|to| format!("nothing went to {to}")));
    wrong
}

/// How many requests a destination may have had: those since the start at least, those since the trouble began at most;
/// a tenth less or more, and three.
fn requests_to(locality: &str, (started, at): (i64, i64), history: &History) -> (f64, f64) {
    let since = |from: i64| history.series().map(|series| series.away_to_between(locality, from, at));
    let least = since(started).into_iter().map(|(least, _)| least as f64).fold(f64::MAX, f64::min);
    let most = since(started - 2 * window()).into_iter().map(|(_, most)| most as f64).fold(0.0, f64::max);
    ((least * 0.9 - 3.0).max(0.0), most * 1.1 + 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_ends_once_and_at_the_last_hold() {
        assert_eq!(ends_by(&[(0, 4_000), (1_000, 5_000), (2_000, 6_000)], 100), [6_000]);
        assert_eq!(ends_by(&[(0, 4_000), (9_000, 13_000)], 100), [4_000], "the next failover");
        assert_eq!(ends_by(&[(0, 4_000), (3_800, 7_800)], 100), [4_000, 7_800], "either");
    }
}
