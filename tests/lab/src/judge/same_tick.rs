//! Ejections by rates of which several begin and end in one tick of Envoy's interval.
//!
//! Envoy's main thread ends an ejection and, further on in the same tick, ejects the host by its rate again. No worker
//! ever has the host in rotation, and no list shows it so; only the number of ejections grows, without a name. Where
//! several hosts' ejections are over in that tick, nothing tells which of them it was. Such a pair may be told or not.
//!
//! A host whose success rate and whose failure percentage are both bad is ejected twice in one tick, by Envoy's log and
//! count. It is one ejection, for either reason.

use super::compare::{Report, compare};
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;

/// A tick takes at most this long, in milliseconds.
const TICK: i64 = 2;

/// Envoy's records with two ejections of a host in one tick as one; its number is that of the first.
pub(super) fn with_doubles_as_one(records: Vec<Record>, reports: &[Report]) -> Vec<Record> {
    let mut records = records;
    let mut from = 0;
    while let Some((first, second)) = next_of(&records, from, |a, b| a == Action::Eject && b == Action::Eject) {
        from = first + 1;
        let reason = records[second].reason.clone();
        let mut one = without(&records, second, second);
        let told = |reason: &str| {
            let is = |r: &&Report| r.endpoint == records[first].endpoint && r.event.text("reason") == reason;
            reports.iter().any(|report| is(&report))
        };
        if told(&reason) && !told(&records[first].reason) {
            one[first].reason = reason;
        }
        records = one;
    }
    records
}

/// Envoy's records without those pairs of a return and an ejection in one tick that were not told; the ejections that
/// follow are numbered as if there had been none.
pub(super) fn without_untold(records: Vec<Record>, reports: &[Report]) -> Vec<Record> {
    let mut records = records;
    let mut from = 0;
    while let Some((first, second)) = next_of(&records, from, |a, b| a == Action::Return && b == Action::Eject) {
        from = first + 1;
        let fewer = without(&records, first, second);
        if compare(&fewer, reports).wrong.len() < compare(&records, reports).wrong.len() {
            records = fewer;
            from = first;
        }
    }
    records
}

/// The indices of the next record, from an index on, and of the ejection of the same host in the same tick, if their
/// actions are so.
fn next_of(records: &[Record], from: usize, are: impl Fn(Action, Action) -> bool) -> Option<(usize, usize)> {
    (from..records.len()).find_map(|first| {
        let record = &records[first];
        let next = (first + 1..records.len()).find(|i| is_same_host(record, &records[*i]))?;
        let at = |record: &Record| timestamp::millis(&record.timestamp).unwrap_or(0);
        let is_one_tick = at(&records[next]) - at(record) <= TICK;
        let is_pair = are(record.action, records[next].action);
        (is_pair && is_one_tick && is_by_rate(&records[next])).then_some((first, next))
    })
}

fn is_same_host(a: &Record, b: &Record) -> bool {
    a.cluster == b.cluster && a.endpoint == b.endpoint
}

fn is_by_rate(record: &Record) -> bool {
    record.reason.ends_with("success_rate") || record.reason.starts_with("failure_percentage")
}

fn without(records: &[Record], first: usize, second: usize) -> Vec<Record> {
    let mut kept = Vec::new();
    for (index, record) in records.iter().enumerate().filter(|(index, _)| *index != first && *index != second) {
        let is_later = index > second && is_same_host(record, &records[first]);
        kept.push(Record { ejections: record.ejections - u64::from(is_later), ..record.clone() });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(action: Action, millis: i64, reason: &str, ejections: u64) -> Record {
        Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "e:1".to_owned(),
            reason: reason.to_owned(),
            ejections,
            timestamp: timestamp::of_millis(millis),
        }
    }

    fn report(name: &str, second: u32, ejection: u64) -> Report {
        let line = format!(
            r#"[2026-01-01 00:00:{second:02}.000][1] {{"faultline":"{name}","ts":"2026-01-01T00:00:{second:02}.000Z","cluster":"c","endpoint":"e:1","reason":"other","ejection":{ejection}}}"#
        );
        Report::in_line(&line).unwrap()
    }

    #[test]
    fn a_host_that_is_ejected_for_two_rates_at_once_is_ejected_once() {
        let records = vec![
            record(Action::Eject, 1_000, "success_rate", 1),
            record(Action::Eject, 1_001, "failure_percentage", 2),
            record(Action::Return, 5_000, "", 2),
        ];
        let reasons = |reports: &[Report]| -> Vec<(String, u64)> {
            let one = with_doubles_as_one(records.clone(), reports);
            one.into_iter().map(|record| (record.reason, record.ejections)).collect()
        };
        assert_eq!(reasons(&[]), [("success_rate".to_owned(), 1), (String::new(), 1)]);
    }

    #[test]
    fn only_what_no_list_can_show_may_remain_untold() {
        let begin = timestamp::millis("2026-01-01T00:00:00.000Z").unwrap();
        let records = |reason: &str| {
            vec![
                record(Action::Eject, begin + 1_000, "consecutive_5xx", 1),
                record(Action::Return, begin + 5_000, "", 1),
                record(Action::Eject, begin + 5_001, reason, 2),
                record(Action::Return, begin + 9_000, "", 2),
            ]
        };
        let untold = [report("endpoint_ejected", 1, 1), report("endpoint_returned", 9, 1)];
        let folded = without_untold(records("failure_percentage"), &untold);
        assert_eq!(compare(&folded, &untold).wrong, []);
        assert_eq!(without_untold(records("consecutive_5xx"), &untold).len(), 4, "an attempt went there in between");
        let told = [("endpoint_ejected", 1, 1), ("endpoint_returned", 5, 1), ("endpoint_ejected", 5, 2)];
        let told: Vec<Report> = told.map(|(name, second, n)| report(name, second, n)).to_vec();
        assert_eq!(without_untold(records("failure_percentage"), &told).len(), 4);
    }
}
