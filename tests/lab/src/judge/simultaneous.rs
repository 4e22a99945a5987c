//! Streaks whose failures came at the same time, to a filter without the witness.
//!
//! In split mode each connection to an endpoint ends Envoy's streak of failed ones at that instant, on whatever worker,
//! and in either mode good headers end its other streaks, though a reset may follow. The filter learns of both when the
//! attempt is over, in whole milliseconds. Where attempts of several workers overlap, or a good one ends with a failed
//! one, their order decides whether there was a streak, and only Envoy knows it. What the filter infers then may be
//! right or not.

use super::compare::{Disagreement, Report, compare};
use crate::envoy::attempts::{Attempt, Kind};
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;
use serde_json::json;

/// How long before an ejection its last failures may have ended, in milliseconds: a streak may take its time.
const BEFORE_MS: i64 = 5_000;

/// How long after it, in milliseconds.
const AFTER_MS: i64 = 6;

/// How many of the last failures are looked at, and within what time of each other two of them must have ended, in
/// milliseconds.
const LAST: usize = 4;
const TOGETHER_MS: i64 = 6;

/// By how much the times of the log may be off, in milliseconds: they are whole ones.
const ROUNDED_MS: i64 = 1;

/// What the reasons of streaks begin with.
const STREAK: &str = "consecutive_";

/// Envoy's record and the filter's reports without such ejections as only one of them has, nor their ends; later ones
/// are numbered as if there had been none.
#[derive(Clone, Debug)]
pub(super) struct Decidable {
    /// Envoy's record.
    pub(super) records: Vec<Record>,
    /// The filter's reports.
    pub(super) reports: Vec<Report>,
    /// How many ejections Envoy alone has.
    pub(super) missed: usize,
    /// How many ejections the filter alone has.
    pub(super) invented: usize,
}

impl Decidable {
    /// Leaves out what attempts at the same time leave open.
    pub(super) fn of(records: Vec<Record>, reports: Vec<Report>, attempts: &[Attempt]) -> Self {
        let mut all = Self { records, reports, missed: 0, invented: 0 };
        loop {
            let wrong = compare(&all.records, &all.reports).wrong;
            let tried = wrong.iter().filter_map(|wrong| all.without(*wrong, attempts));
            let Some(better) = tried.into_iter().find(|t| compare(&t.records, &t.reports).wrong.len() < wrong.len())
            else {
                return all;
            };
            all = better;
        }
    }

    fn without(&self, wrong: Disagreement, attempts: &[Attempt]) -> Option<Self> {
        let mut less = self.clone();
        match wrong {
            Disagreement::Missed(index) => {
                let record =
                    self.records.get(index).filter(|r| r.action == Action::Eject && r.reason.starts_with(STREAK))?;
                overlap(attempts, &record.endpoint, timestamp::millis(&record.timestamp)?).then_some(())?;
                less.leave_out_record(index);
            }
            Disagreement::Invented(index) | Disagreement::Twice(index) => {
                self.open_since(index, attempts)?;
                less.leave_out_report(index);
            }
            // Whoever of the two takes the endpoint for ejected does not count the failures for which the other ejects
            // it later.
            Disagreement::Details(pair) => {
                let (record, report) = (self.records.get(pair.record)?, self.reports.get(pair.report)?);
                let is_streak = record.action == Action::Eject && record.reason.starts_with(STREAK);
                let recorded = timestamp::millis(&record.timestamp).filter(|_| is_streak)?;
                let told = timestamp::millis(report.event.text("ts"))?;
                let is_open = match recorded < told {
                    true => overlap(attempts, &record.endpoint, recorded),
                    false => self.open_since(pair.report, attempts).is_some(),
                };
                (is_open && (recorded - told).abs() > AFTER_MS).then_some(())?;
                less.leave_out_report(pair.report);
                less.leave_out_record(pair.record);
            }
        }
        Some(less)
    }

    /// When the ejection of this report was inferred, in milliseconds, if attempts that overlapped decided it.
    fn open_since(&self, index: usize, attempts: &[Attempt]) -> Option<i64> {
        let event = &self.reports.get(index).filter(|r| r.action == Action::Eject)?.event;
        let is_open = event.text("basis") == "inferred" && event.text("reason").starts_with(STREAK);
        let at = timestamp::millis(event.text("ts")).filter(|_| is_open)?;
        overlap(attempts, event.text("endpoint"), at).then_some(at)
    }

    fn leave_out_record(&mut self, index: usize) {
        self.missed += 1;
        self.records = without(&self.records, index, |r| (&r.cluster, &r.endpoint), |record| record.ejections -= 1);
    }

    fn leave_out_report(&mut self, index: usize) {
        self.invented += 1;
        let renumber = |report: &mut Report| {
            let number = report.event.number("ejection").unwrap_or(1.0) - 1.0;
            report.event.fields["ejection"] = json!(number);
        };
        self.reports = without(&self.reports, index, |r| (&r.cluster, &r.endpoint), renumber);
    }
}

/// All but the ejection with this index and its end, the next about its host; `renumber` is applied to what follows.
fn without<T: Clone>(
    all: &[T],
    index: usize,
    host: impl Fn(&T) -> (&String, &String),
    renumber: impl Fn(&mut T),
) -> Vec<T> {
    let mut kept = all[..index].to_vec();
    let mut is_over = false;
    for one in &all[index + 1..] {
        let mut one = one.clone();
        if host(&one) == host(&all[index]) {
            if !is_over {
                is_over = true;
                continue;
            }
            renumber(&mut one);
        }
        kept.push(one);
    }
    kept
}

/// Whether the last attempts at the endpoint that failed before `at` overlap, or one of them ended in the millisecond
/// in which a good one began or ended.
fn overlap(attempts: &[Attempt], endpoint: &str, at: i64) -> bool {
    let own = attempts.iter().filter(|a| a.kind == Kind::Attempt && a.endpoint == endpoint);
    let (good, mut failed): (Vec<&Attempt>, Vec<&Attempt>) = own.partition(|a| a.text.starts_with("200 - "));
    failed.retain(|a| (at - BEFORE_MS..=at + AFTER_MS).contains(&a.ended));
    failed.sort_by_key(|attempt| attempt.ended);
    let last = &failed[failed.len().saturating_sub(LAST)..];
    let meet = |a: &Attempt, b: &Attempt| {
        let overlaps = a.started <= b.ended + ROUNDED_MS && b.started <= a.ended + ROUNDED_MS;
        overlaps && (a.ended - b.ended).abs() <= TOGETHER_MS
    };
    let breaks = |failed: &Attempt, good: &Attempt| {
        [good.started, good.ended].iter().any(|when| (when - failed.ended).abs() <= ROUNDED_MS)
    };
    last.iter().any(|failed| good.iter().any(|good| breaks(failed, good)))
        || last.iter().enumerate().any(|(index, a)| last[index + 1..].iter().any(|b| meet(a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(started: i64, ended: i64) -> Attempt {
        let begin = timestamp::millis("2026-01-01T00:00:01.000Z").unwrap();
        let (started, ended) = (begin + started, begin + ended);
        Attempt { kind: Kind::Attempt, started, ended, endpoint: "e:1".to_owned(), text: "0 UC -".to_owned() }
    }

    fn report(name: &str, second: u32, number: u32) -> Report {
        let line = format!(
            r#"{{"faultline":"{name}","ts":"2026-01-01T00:00:{second:02}.000Z","cluster":"c","endpoint":"e:1","basis":"inferred","reason":"consecutive_5xx","ejection":{number}}}"#
        );
        Report::in_line(&line).unwrap()
    }

    fn record(action: Action, second: u32, ejections: u64) -> Record {
        Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "e:1".to_owned(),
            reason: "consecutive_5xx".to_owned(),
            ejections,
            timestamp: format!("2026-01-01T00:00:{second:02}.000Z"),
        }
    }

    #[test]
    fn a_streak_of_attempts_that_overlapped_may_have_been_one_or_not() {
        let told = [("endpoint_ejected", 1, 1), ("endpoint_returned", 3, 1), ("endpoint_ejected", 9, 2)];
        let reports: Vec<Report> = told.iter().map(|(name, second, number)| report(name, *second, *number)).collect();
        let records = vec![record(Action::Eject, 9, 1)];
        let left = |attempts: &[Attempt]| Decidable::of(records.clone(), reports.clone(), attempts);
        let open = left(&[attempt(-1, 0), attempt(0, 1)]);
        assert_eq!((open.invented, open.missed, compare(&open.records, &open.reports).wrong.len()), (1, 0, 0));
        assert_eq!(left(&[attempt(-10, -5), attempt(-3, 0)]).invented, 0, "one after the other");

        let records = vec![record(Action::Eject, 1, 1), record(Action::Return, 3, 1), record(Action::Eject, 9, 2)];
        let open = Decidable::of(records, vec![report("endpoint_ejected", 9, 1)], &[attempt(-1, 0), attempt(0, 1)]);
        assert_eq!((open.invented, open.missed, compare(&open.records, &open.reports).wrong.len()), (0, 1, 0));
    }

    #[test]
    fn a_good_answer_in_the_same_millisecond_breaks_a_streak_or_does_not() {
        let records = vec![record(Action::Eject, 1, 1), record(Action::Return, 3, 1)];
        let left = |good: (i64, i64)| {
            let good = Attempt { text: "200 - via_upstream".to_owned(), ..attempt(good.0, good.1) };
            Decidable::of(records.clone(), Vec::new(), &[attempt(-40, -30), good, attempt(-20, 0)]).missed
        };
        assert_eq!([left((-9, 0)), left((1, 20)), left((-9, -8)), left((-15, 9))], [1, 1, 0, 0]);
    }

    #[test]
    fn one_that_may_have_been_hides_the_next_but_does_not_excuse_its_reason() {
        let told = vec![report("endpoint_ejected", 1, 1), report("endpoint_returned", 3, 1)];
        let other =
            |second| Record { reason: "consecutive_gateway_failure".to_owned(), ..record(Action::Eject, second, 1) };
        let left = |second, attempts: &[Attempt]| {
            Decidable::of(vec![other(second), record(Action::Return, 4, 1)], told.clone(), attempts)
        };
        let open = left(2, &[attempt(-1, 0), attempt(0, 1)]);
        assert_eq!((open.invented, open.missed, open.records.len(), open.reports.len()), (1, 1, 0, 0));
        assert_eq!(left(2, &[attempt(-10, -5), attempt(-3, 0)]).invented, 0, "one after the other");
        assert_eq!(left(1, &[attempt(-1, 0), attempt(0, 1)]).invented, 0, "the same ejection");
        // Envoy was first.
        let told = vec![report("endpoint_ejected", 2, 1), report("endpoint_returned", 3, 1)];
        let left = |attempts: &[Attempt]| {
            Decidable::of(vec![other(1), record(Action::Return, 4, 1)], told.clone(), attempts).missed
        };
        assert_eq!([left(&[attempt(-1, 0), attempt(0, 1)]), left(&[attempt(-10, -5), attempt(-3, 0)])], [1, 0]);
    }
}
