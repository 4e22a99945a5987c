//! The end of a drill: compares Envoy's own record with the reports of each proxy's filter, as strictly as the judge.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::stage::{Proxy, Stage};
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;
use crate::judge::compare::{Disagreement, Report, Verdict, compare};
use crate::terminal::paint;

/// How long a filter may take to agree with Envoy before the drill fails; delays are not judged.
const PATIENCE: Duration = Duration::from_secs(10);

/// One proxy's record and reports, compared.
#[derive(Debug)]
struct Reckoning {
    proxy: String,
    records: Vec<Record>,
    reports: Vec<Report>,
    verdict: Verdict,
    complaints: Vec<String>,
}

/// The result of a drill.
#[derive(Debug)]
pub struct Outcome {
    reckonings: Vec<Reckoning>,
    calls: u64,
    errors: u64,
    /// Everything that was wrong, a line each.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Whether nothing was wrong.
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Envoy's ejections, over all proxies.
    pub fn ejections(&self) -> usize {
        self.reckonings.iter().map(|r| r.count(Action::Eject)).sum()
    }
}

/// Whether a report says that an ejected endpoint left, and Envoy's log has an ejection of it before and no return
/// after that: an endpoint that is replaced takes its ejection with it.
fn is_right_removal(report: &Report, records: &[Record]) -> bool {
    let is_before = |record: &&Record| timestamp::millis(&record.timestamp).is_some_and(|at| at <= report.at);
    let of_endpoint = |r: &&Record| r.cluster == report.cluster && r.endpoint == report.endpoint;
    let last = records.iter().filter(of_endpoint).rfind(is_before);
    report.action == Action::Remove && last.is_some_and(|last| last.action == Action::Eject)
}

impl Reckoning {
    fn of(proxy: &Proxy) -> Result<Self> {
        let records = proxy.envoy.outlier_records()?;
        let lines = proxy.envoy.events().lines();
        let mut reports = Report::all(&lines);
        reports.retain(|report| !is_right_removal(report, &records));
        let verdict = compare(&records, &reports);
        let mut complaints = Vec::new();

        let metrics = proxy.envoy.metrics()?;
        for gauge in ["faultline_ejected_endpoints", "faultline_failover_active"] {
            let value = metrics.sum(gauge, &[]);
            if value != 0.0 {
                complaints.push(format!("{gauge} is {value} when all is over"));
            }
        }
        let enforced = proxy.envoy.stats("outlier_detection.ejections_enforced_total$")?;
        let enforced: u64 = enforced.iter().map(|(_, value)| value).sum();
        let counted = metrics.sum("faultline_ejections_total", &[]);
        if counted != enforced as f64 {
            complaints
                .push(format!("faultline_ejections_total is {counted}, Envoy's ejections_enforced_total {enforced}"));
        }
        for (begin, end) in [("failover_started", "failover_ended"), ("no_healthy_upstream", "upstream_recovered")] {
            let count = |name| proxy.envoy.events().named(name).len();
            if count(begin) != count(end) {
                complaints.push(format!("{} {begin}, {} {end}", count(begin), count(end)));
            }
        }
        let failed =
            |line: &&String| line.contains("wasm") && (line.contains("[critical]") || line.contains("[error]"));
        complaints.extend(lines.iter().find(failed).map(|line| format!("the filter failed: {line}")));
        Ok(Self { proxy: proxy.name.clone(), records, reports, verdict, complaints })
    }

    fn is_right(&self) -> bool {
        self.verdict.wrong.is_empty() && self.complaints.is_empty()
    }

    fn count(&self, action: Action) -> usize {
        self.records.iter().filter(|record| record.action == action).count()
    }

    fn wrong(&self) -> Vec<String> {
        let one = |wrong: &Disagreement| match wrong {
            Disagreement::Missed(i) => format!("missed: {:?}", self.records[*i]),
            Disagreement::Invented(j) => format!("invented: {}", self.reports[*j].event),
            Disagreement::Twice(j) => format!("told twice: {}", self.reports[*j].event),
            Disagreement::Details(pair) => {
                let (record, report) = (&self.records[pair.record], &self.reports[pair.report]);
                format!("told otherwise: {} for {record:?}", report.event)
            }
        };
        let wrong = self.verdict.wrong.iter().map(one).chain(self.complaints.iter().cloned());
        wrong.map(|line| format!("{}: {line}", self.proxy)).collect()
    }
}

/// Ends the drill: calls continue until every filter agrees with its Envoy or [`PATIENCE`] is over; then the table is
/// shown. Proxies without a filter are left out.
///
/// # Errors
/// If an Envoy does not answer.
pub(super) fn reckon(mut stage: Stage) -> Result<Outcome> {
    stage.say("Envoy's own record against what the filters told");
    let started = Instant::now();
    let reckonings = loop {
        let observed = stage.proxies.iter().filter(|proxy| proxy.envoy.has_filter());
        let reckonings = observed.map(Reckoning::of).collect::<Result<Vec<_>>>()?;
        if reckonings.iter().all(Reckoning::is_right) || started.elapsed() > PATIENCE {
            break reckonings;
        }
        stage.rounds(10);
    };
    // No event was expected since the last act.
    stage.end_act(&[]);
    let mut wrong = std::mem::take(&mut stage.complaints);
    wrong.extend(reckonings.iter().flat_map(Reckoning::wrong));
    for caller in stage.callers.iter().filter(|caller| caller.unanswered > 0) {
        wrong.push(format!("{}: {} requests without an answer", caller.name(), caller.unanswered));
    }
    let sum = |count: fn(&super::caller::Caller) -> u64| stage.callers.iter().map(count).sum();
    let outcome = Outcome { reckonings, calls: sum(|c| c.calls), errors: sum(|c| c.errors), wrong };
    for line in outcome.to_string().lines() {
        stage.screen.note(line);
    }
    stage.screen.note("");
    stage.screen.note(&if outcome.is_right() {
        paint::green("Right: everything that happened was told, once, and nothing else.")
    } else {
        paint::red("WRONG: what was told is not what happened.")
    });
    Ok(outcome)
}

const TITLES: &str =
    "| proxy | ejections | returns | told | missed | invented | twice | told otherwise | other faults |
|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLES}")?;
        for r in &self.reckonings {
            let wrong = |is: fn(&Disagreement) -> bool| r.verdict.wrong.iter().filter(|wrong| is(wrong)).count();
            let counts = [
                r.count(Action::Eject),
                r.count(Action::Return),
                r.reports.len(),
                wrong(|w| matches!(w, Disagreement::Missed(_))),
                wrong(|w| matches!(w, Disagreement::Invented(_))),
                wrong(|w| matches!(w, Disagreement::Twice(_))),
                wrong(|w| matches!(w, Disagreement::Details(_))),
                r.complaints.len(),
            ];
            writeln!(f, "| {} | {} |", r.proxy, counts.map(|n| n.to_string()).join(" | "))?;
        }
        writeln!(f, "\n{} calls, {} of them answered with an error", self.calls, self.errors)
    }
}
