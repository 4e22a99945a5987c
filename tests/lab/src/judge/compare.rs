//! The filter's ejections and returns against Envoy's record of them, endpoint by endpoint.
//!
//! For each endpoint both are sequences, and the alignment with the least sum of delays says which of Envoy's were
//! told, which were missed, and which of ours Envoy knows nothing of. Across endpoints no order is asked for: Envoy's
//! main thread and the workers may take two failures of the same millisecond either way round.

use std::collections::BTreeSet;

use crate::envoy::events::Event;
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;

/// What leaving one entry without a partner costs, in milliseconds of delay: beyond twice that, two entries are not
/// about the same thing.
const UNMATCHED: i64 = 2_000;

/// What the filter told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Ejected or returned.
    pub action: Action,
    /// The endpoint, `ip:port`.
    pub endpoint: String,
    /// When the line was written to Envoy's log, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The event.
    pub event: Event,
}

impl Told {
    /// All that a log tells, in the order of the events' `ts`: workers write their lines as they come to it, and two of one
    /// millisecond may stand the other way round in the log.
    pub fn all(lines: &[String]) -> Vec<Self> {
        let mut told: Vec<Self> = lines.iter().filter_map(|line| Self::in_line(line)).collect();
        told.sort_by_cached_key(|told| told.event.text("ts").to_owned());
        told
    }

    /// The ejection or return in a line of Envoy's log, if it tells one.
    pub fn in_line(line: &str) -> Option<Self> {
        let event = Event::in_line(line)?;
        let action = match event.name() {
            "endpoint_ejected" => Action::Eject,
            "endpoint_returned" => Action::Return,
            _ => return None,
        };
        let at = timestamp::of_log_line(line).or_else(|| timestamp::millis(event.text("ts")))?;
        Some(Self { action, endpoint: event.text("endpoint").to_owned(), at, event })
    }
}

/// A disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Envoy did it, the filter told nothing: the index of Envoy's record.
    Missed(usize),
    /// The filter told it, Envoy did nothing of the kind: the index of what was told.
    Invented(usize),
    /// The filter told it again: the index of what was told.
    Twice(usize),
    /// Told, with another reason or number than Envoy has: both indices, Envoy's first.
    Details(usize, usize),
}

/// What came of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Pairs: the index of Envoy's record, and of what the filter told of it.
    pub agreed: Vec<(usize, usize)>,
    /// Disagreements.
    pub wrong: Vec<Wrong>,
    /// How long after Envoy's record the filter told of an ejection, in milliseconds.
    pub ejection_delays: Vec<i64>,
    /// The same for returns.
    pub return_delays: Vec<i64>,
}

/// Compares what Envoy did with what the filter told, each in order of time.
pub fn compare(did: &[Record], told: &[Told]) -> Verdict {
    let mut verdict = Verdict::default();
    let endpoints = did.iter().map(|r| &r.endpoint).chain(told.iter().map(|t| &t.endpoint));
    for endpoint in endpoints.collect::<BTreeSet<_>>() {
        let of_envoy: Vec<usize> = (0..did.len()).filter(|i| did[*i].endpoint == *endpoint).collect();
        let of_filter: Vec<usize> = (0..told.len()).filter(|i| told[*i].endpoint == *endpoint).collect();
        align(did, told, &of_envoy, &of_filter, &mut verdict);
    }
    verdict
}

fn delay(did: &Record, told: &Told) -> i64 {
    told.at - timestamp::millis(&did.timestamp).unwrap_or(i64::MIN / 4)
}

fn align(did: &[Record], told: &[Told], of_envoy: &[usize], of_filter: &[usize], verdict: &mut Verdict) {
    let (n, m) = (of_envoy.len(), of_filter.len());
    let pair = |i: usize, j: usize| {
        let (d, t) = (&did[of_envoy[i]], &told[of_filter[j]]);
        (d.action == t.action).then(|| delay(d, t).abs())
    };
    // cost[i][j]: the least cost of aligning what follows i of Envoy's and j of ours.
    let mut cost = vec![vec![0_i64; m + 1]; n + 1];
    for i in (0..=n).rev() {
        for j in (0..=m).rev() {
            let mut options = Vec::new();
            if i < n {
                options.push(cost[i + 1][j] + UNMATCHED);
            }
            if j < m {
                options.push(cost[i][j + 1] + UNMATCHED);
            }
            if i < n && j < m {
                options.extend(pair(i, j).map(|delay| cost[i + 1][j + 1] + delay));
            }
            cost[i][j] = options.into_iter().min().unwrap_or(0);
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < n || j < m {
        if i < n && j < m && pair(i, j).is_some_and(|delay| cost[i][j] == cost[i + 1][j + 1] + delay) {
            verdict.agree(did, told, of_envoy[i], of_filter[j]);
            (i, j) = (i + 1, j + 1);
        } else if i < n && cost[i][j] == cost[i + 1][j] + UNMATCHED {
            verdict.wrong.push(Wrong::Missed(of_envoy[i]));
            i += 1;
        } else {
            let again = j > 0 && told[of_filter[j - 1]].action == told[of_filter[j]].action;
            verdict.wrong.push(if again { Wrong::Twice(of_filter[j]) } else { Wrong::Invented(of_filter[j]) });
            j += 1;
        }
    }
}

impl Verdict {
    fn agree(&mut self, did: &[Record], told: &[Told], i: usize, j: usize) {
        let (record, ours) = (&did[i], &told[j]);
        self.agreed.push((i, j));
        match record.action {
            Action::Eject => self.ejection_delays.push(delay(record, ours)),
            Action::Return => self.return_delays.push(delay(record, ours)),
        }
        let reason = ours.event.text("reason");
        let reason = record.action == Action::Return || reason == "other" || reason == record.reason;
        let number = ours.event.number("ejection") == Some(record.ejections as f64);
        if !reason || !number {
            self.wrong.push(Wrong::Details(i, j));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(action: Action, second: u32) -> Record {
        Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "e:1".to_owned(),
            reason: "consecutive_5xx".to_owned(),
            ejections: 1,
            timestamp: format!("2026-01-01T00:00:{second:02}.000Z"),
        }
    }

    fn told(name: &str, second: u32) -> Told {
        let line = format!(
            r#"[2026-01-01 00:00:{second:02}.007][1] {{"faultline":"{name}","endpoint":"e:1","reason":"consecutive_5xx","ejection":1}}"#
        );
        Told::in_line(&line).unwrap()
    }

    #[test]
    fn agreement_gives_delays_and_nothing_else() {
        let told = [told("endpoint_ejected", 1), told("endpoint_returned", 3)];
        let verdict = compare(&[did(Action::Eject, 1), did(Action::Return, 2)], &told);
        assert_eq!(verdict.wrong, []);
        assert_eq!((verdict.ejection_delays, verdict.return_delays), (vec![7], vec![1_007]));
    }

    #[test]
    fn a_missed_pair_is_the_one_nobody_told_of() {
        let records = [1, 10, 20].map(|s| [did(Action::Eject, s), did(Action::Return, s + 2)]).concat();
        let told = [("endpoint_ejected", 1), ("endpoint_returned", 3), ("endpoint_ejected", 20)];
        let verdict = compare(&records, &told.map(|(name, second)| super::tests::told(name, second)));
        assert_eq!(verdict.wrong, [2, 3, 5].map(Wrong::Missed));
    }

    #[test]
    fn what_envoy_did_not_do_is_invented_or_told_twice() {
        let told = [told("endpoint_ejected", 1), told("endpoint_ejected", 1), told("endpoint_returned", 30)];
        let verdict = compare(&[did(Action::Eject, 1)], &told);
        assert_eq!(verdict.wrong, [Wrong::Twice(1), Wrong::Invented(2)]);
    }

    #[test]
    fn another_reason_or_number_is_told_apart() {
        let record = Record { reason: "consecutive_gateway_failure".to_owned(), ..did(Action::Eject, 1) };
        assert_eq!(compare(&[record], &[told("endpoint_ejected", 1)]).wrong, [Wrong::Details(0, 0)]);
        let record = Record { ejections: 2, ..did(Action::Return, 1) };
        assert_eq!(compare(&[record], &[told("endpoint_returned", 1)]).wrong, [Wrong::Details(0, 0)]);
    }
}
