//! Compares the filter's ejections, returns and removals with Envoy's record of them, host by host: a cluster and an
//! endpoint.
//!
//! For each host, both are sequences. The alignment with the smallest sum of delays shows which of Envoy's records
//! were reported, which were missed, and which reports have no record. Across hosts no order is required: Envoy's
//! main thread and the workers may handle two failures of the same millisecond in either order.

use std::collections::BTreeSet;

use crate::envoy::events::Event;
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;

/// The cost of leaving one entry without a partner, as a delay in milliseconds: two entries that are more than twice
/// this apart are not about the same thing.
const UNMATCHED: i64 = 2_000;

/// An ejection, a return or a removal, as the filter reported it.
#[derive(Clone, Debug)]
pub struct Report {
    /// What happened to the endpoint.
    pub action: Action,
    /// The cluster's name.
    pub cluster: String,
    /// The endpoint, `ip:port`.
    pub endpoint: String,
    /// When the line was written to Envoy's log, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The event.
    pub event: Event,
}

impl Report {
    /// All reports in a log, in the order of the events' `ts`: workers write their lines independently, so two of the
    /// same millisecond may be in the wrong order in the log.
    pub fn all(lines: &[String]) -> Vec<Self> {
        let mut reports: Vec<Self> = lines.iter().filter_map(|line| Self::in_line(line)).collect();
        reports.sort_by_cached_key(|report| report.event.text("ts").to_owned());
        // Of a return and the next ejection in one millisecond, the numbers tell which came first.
        for index in 1..reports.len() {
            let [ejected, returned] = [&reports[index - 1], &reports[index]];
            let is_pair = ejected.action == Action::Eject && returned.action == Action::Return;
            let is_same = ejected.endpoint == returned.endpoint && ejected.cluster == returned.cluster;
            let [later, earlier] = [ejected, returned].map(|report| report.event.number("ejection").unwrap_or(0.0));
            if is_pair && is_same && later > earlier && ejected.event.text("ts") == returned.event.text("ts") {
                reports.swap(index - 1, index);
            }
        }
        reports
    }

    /// The report in a line of Envoy's log, if there is one.
    pub fn in_line(line: &str) -> Option<Self> {
        let event = Event::in_line(line)?;
        let action = match event.name() {
            "endpoint_ejected" => Action::Eject,
            "endpoint_returned" => Action::Return,
            "endpoint_removed" => Action::Remove,
            _ => return None,
        };
        let at = timestamp::of_log_line(line).or_else(|| timestamp::millis(event.text("ts")))?;
        let (cluster, endpoint) = (event.text("cluster").to_owned(), event.text("endpoint").to_owned());
        Some(Self { action, cluster, endpoint, at, event })
    }
}

/// One of Envoy's records and the filter's report of it, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The index of the record.
    pub record: usize,
    /// The index of the report.
    pub report: usize,
}

/// A disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// The filter did not report what Envoy did; the index of the record.
    Missed(usize),
    /// The filter reported what Envoy did not do; the index of the report.
    Invented(usize),
    /// The filter reported it a second time; the index of the report.
    Twice(usize),
    /// The report has another reason or number than Envoy's record.
    Details(Pair),
}

/// The result of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Records that were reported, including those with other details.
    pub agreed: Vec<Pair>,
    /// Disagreements.
    pub wrong: Vec<Disagreement>,
    /// How long after Envoy's record the filter reported an ejection, in milliseconds.
    pub ejection_delays: Vec<i64>,
    /// How long after Envoy's record the filter reported a return, in milliseconds.
    pub return_delays: Vec<i64>,
}

/// Compares Envoy's records with the filter's reports, each in order of time.
pub fn compare(records: &[Record], reports: &[Report]) -> Verdict {
    let mut comparison = Comparison { records, reports, verdict: Verdict::default() };
    let recorded = records.iter().map(|r| (r.cluster.as_str(), r.endpoint.as_str()));
    let reported = reports.iter().map(|r| (r.cluster.as_str(), r.endpoint.as_str()));
    for host in recorded.chain(reported).collect::<BTreeSet<_>>() {
        comparison.align(host);
    }
    comparison.verdict
}

/// A comparison in progress.
struct Comparison<'a> {
    records: &'a [Record],
    reports: &'a [Report],
    verdict: Verdict,
}

impl Comparison<'_> {
    /// How long after the record the report was written, in milliseconds.
    fn delay(&self, pair: Pair) -> i64 {
        let recorded = timestamp::millis(&self.records[pair.record].timestamp);
        self.reports[pair.report].at - recorded.unwrap_or(i64::MIN / 4)
    }

    /// The cost of pairing the two; `None` if they are about different actions.
    fn cost(&self, pair: Pair) -> Option<i64> {
        let alike = self.records[pair.record].action == self.reports[pair.report].action;
        alike.then(|| self.delay(pair).abs())
    }

    /// Aligns the records and reports of one host.
    fn align(&mut self, (cluster, endpoint): (&str, &str)) {
        let is_recorded = |r: &Record| r.cluster == cluster && r.endpoint == endpoint;
        let is_reported = |r: &Report| r.cluster == cluster && r.endpoint == endpoint;
        let records: Vec<usize> = (0..self.records.len()).filter(|i| is_recorded(&self.records[*i])).collect();
        let reports: Vec<usize> = (0..self.reports.len()).filter(|j| is_reported(&self.reports[*j])).collect();
        let (n, m) = (records.len(), reports.len());
        let pair = |i: usize, j: usize| Pair { record: records[i], report: reports[j] };
        // `cost[i][j]`: the smallest cost of aligning what follows the first i records and the first j reports.
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
                    options.extend(self.cost(pair(i, j)).map(|delay| cost[i + 1][j + 1] + delay));
                }
                cost[i][j] = options.into_iter().min().unwrap_or(0);
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < n || j < m {
            if i < n && j < m && self.cost(pair(i, j)).is_some_and(|delay| cost[i][j] == cost[i + 1][j + 1] + delay) {
                self.agree(pair(i, j));
                (i, j) = (i + 1, j + 1);
            } else if i < n && cost[i][j] == cost[i + 1][j] + UNMATCHED {
                self.verdict.wrong.push(Disagreement::Missed(records[i]));
                i += 1;
            } else {
                let again = j > 0 && self.reports[reports[j - 1]].action == self.reports[reports[j]].action;
                let wrong = if again { Disagreement::Twice } else { Disagreement::Invented };
                self.verdict.wrong.push(wrong(reports[j]));
                j += 1;
            }
        }
    }

    fn agree(&mut self, pair: Pair) {
        let (record, report) = (&self.records[pair.record], &self.reports[pair.report]);
        let delay = self.delay(pair);
        self.verdict.agreed.push(pair);
        match record.action {
            Action::Eject => self.verdict.ejection_delays.push(delay),
            Action::Return => self.verdict.return_delays.push(delay),
            // The record's time is that of a sample.
            Action::Remove => {}
        }
        let reason = report.event.text("reason");
        let reason = record.action != Action::Eject || reason == "other" || reason == record.reason;
        // Envoy writes 0 where the host's detector was replaced meanwhile, as for one that left and was back at once.
        let number = record.ejections == 0 || report.event.number("ejection") == Some(record.ejections as f64);
        if !reason || !number {
            self.verdict.wrong.push(Disagreement::Details(pair));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(action: Action, second: u32) -> Record {
        Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "e:1".to_owned(),
            reason: "consecutive_5xx".to_owned(),
            ejections: 1,
            timestamp: format!("2026-01-01T00:00:{second:02}.000Z"),
        }
    }

    fn report(name: &str, second: u32) -> Report {
        let line = format!(
            r#"[2026-01-01 00:00:{second:02}.007][1] {{"faultline":"{name}","cluster":"c","endpoint":"e:1","reason":"consecutive_5xx","ejection":1}}"#
        );
        Report::in_line(&line).unwrap()
    }

    #[test]
    fn agreement_gives_delays_and_nothing_else() {
        let reports = [report("endpoint_ejected", 1), report("endpoint_returned", 3)];
        let verdict = compare(&[record(Action::Eject, 1), record(Action::Return, 2)], &reports);
        assert_eq!(verdict.wrong, []);
        assert_eq!((verdict.ejection_delays, verdict.return_delays), (vec![7], vec![1_007]));
    }

    #[test]
    fn a_missed_pair_is_the_one_nobody_told_of() {
        let records = [1, 10, 20].map(|s| [record(Action::Eject, s), record(Action::Return, s + 2)]).concat();
        let reports = [("endpoint_ejected", 1), ("endpoint_returned", 3), ("endpoint_ejected", 20)];
        let verdict = compare(&records, &reports.map(|(name, second)| report(name, second)));
        assert_eq!(verdict.wrong, [2, 3, 5].map(Disagreement::Missed));
    }

    #[test]
    fn what_envoy_did_not_do_is_invented_or_told_twice() {
        let reports = [report("endpoint_ejected", 1), report("endpoint_ejected", 1), report("endpoint_returned", 30)];
        let verdict = compare(&[record(Action::Eject, 1)], &reports);
        assert_eq!(verdict.wrong, [Disagreement::Twice(1), Disagreement::Invented(2)]);
    }

    #[test]
    fn a_number_that_envoy_does_not_know_is_any() {
        let records = [Record { ejections: 0, ..record(Action::Eject, 1) }, record(Action::Return, 2)];
        assert_eq!(compare(&records, &[report("endpoint_ejected", 1), report("endpoint_returned", 3)]).wrong, []);
    }

    #[test]
    fn another_reason_or_number_is_told_apart() {
        let other = Record { reason: "consecutive_gateway_failure".to_owned(), ..record(Action::Eject, 1) };
        assert_eq!(
            compare(&[other], &[report("endpoint_ejected", 1)]).wrong,
            [Disagreement::Details(Pair { record: 0, report: 0 })]
        );
        let other = Record { ejections: 2, ..record(Action::Return, 1) };
        assert_eq!(
            compare(&[other], &[report("endpoint_returned", 1)]).wrong,
            [Disagreement::Details(Pair { record: 0, report: 0 })]
        );
    }
}
