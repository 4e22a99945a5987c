//! A side-by-side picture of a round that went wrong: changes to an endpoint, results of its attempts, what Envoy did,
//! what the filter reported. Only the endpoints and the time around each disagreement are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::compare::{Disagreement, Pair};
use super::round::Round;
use crate::envoy::attempts::Kind;
use crate::envoy::events::Event;
use crate::envoy::outlier::Action;
use crate::envoy::timestamp;

/// For how many milliseconds before and after a disagreement attempts are shown.
const AROUND: i64 = 1_500;

/// The maximum number of lines before and after it.
const MOST_LINES: usize = 50;

/// The round with everything needed to understand what is wrong, and to run it again.
pub fn draw(round: &Round) -> String {
    let mut text = format!("round of seed {} ({}):\n{}", round.scene.seed, round.scene.mode.as_str(), round.scene);
    let _ = writeln!(text, "  machine:    stood still for up to {} ms", round.stall);
    for complaint in &round.complaints {
        let _ = writeln!(text, "  wrong:      {complaint}");
    }
    for fault in &round.failover_faults {
        let _ = writeln!(text, "  failover:   {fault}");
    }
    for wrong in &round.verdict.wrong {
        let _ = writeln!(text, "  wrong:      {}", describe(round, wrong));
    }
    let subjects: Vec<(String, i64)> = round.verdict.wrong.iter().map(|wrong| subject(round, wrong)).collect();
    for endpoint in subjects.iter().map(|(endpoint, _)| endpoint).collect::<BTreeSet<_>>() {
        let times: Vec<i64> = subjects.iter().filter(|(e, _)| e == endpoint).map(|(_, at)| *at).collect();
        let _ = write!(text, "\n{}", timeline(round, endpoint, &times));
    }
    if round.verdict.wrong.is_empty() {
        text.push_str(&chronicle(round));
        let mut requests: BTreeMap<&str, u32> = BTreeMap::new();
        for request in round.attempts.iter().filter(|a| a.kind == Kind::Request) {
            *requests.entry(&request.text).or_default() += 1;
        }
        text.push_str("\n  requests by how they ended:\n");
        for (how, count) in requests {
            let _ = writeln!(text, "    {count:>6}  {how}");
        }
    }
    text
}

/// Everything that happened but single attempts, in order of time.
fn chronicle(round: &Round) -> String {
    let mut lines: Vec<(i64, String)> = Vec::new();
    for change in &round.changes {
        lines.push((change.at, format!("-- {:?} now {:?}", change.endpoints, change.doing)));
    }
    for record in &round.records {
        let (at, endpoint) = (timestamp::millis(&record.timestamp).unwrap_or(0), &record.endpoint);
        lines
            .push((at, format!("==== Envoy: {:?} {} {endpoint} ({})", record.action, record.reason, record.ejections)));
    }
    for line in &round.log {
        if let Some(event) = Event::in_line(line) {
            lines.push((timestamp::of_log_line(line).unwrap_or(0), format!("**** {event}")));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let begin = lines.first().map_or(0, |(at, _)| *at);
    let mut text = "\n  everything; milliseconds from the first line\n".to_owned();
    for (index, address) in round.addresses.iter().enumerate() {
        let _ = writeln!(text, "    endpoint {index} is {address}");
    }
    for (at, line) in lines {
        let _ = writeln!(text, "  {:>6}  {line}", at - begin);
    }
    text
}

/// Reports later than `limit` milliseconds after Envoy's record, a line each.
pub fn late(round: &Round, limit: i64) -> String {
    let mut text = String::new();
    for pair in &round.verdict.agreed {
        let (record, report) = (&round.records[pair.record], &round.reports[pair.report]);
        let after = report.at - timestamp::millis(&record.timestamp).unwrap_or(report.at);
        if after > limit {
            let (endpoint, reason, event) = (&record.endpoint, &record.reason, &report.event);
            let _ = writeln!(text, "  {after} ms late: {:?} {endpoint} {reason}, told as {event}", record.action);
        }
    }
    text
}

fn describe(round: &Round, wrong: &Disagreement) -> String {
    match wrong {
        Disagreement::Missed(i) => format!("missed: {:?}", round.records[*i]),
        Disagreement::Invented(j) => format!("invented: {}", round.reports[*j].event),
        Disagreement::Twice(j) => format!("told twice: {}", round.reports[*j].event),
        Disagreement::Details(pair) => {
            format!("told otherwise: {:?} as {}", round.records[pair.record], round.reports[pair.report].event)
        }
    }
}

/// The endpoint that the disagreement is about, and when it came up, in milliseconds since the Unix epoch.
fn subject(round: &Round, wrong: &Disagreement) -> (String, i64) {
    match wrong {
        Disagreement::Missed(i) | Disagreement::Details(Pair { record: i, .. }) => {
            let record = &round.records[*i];
            (record.endpoint.clone(), timestamp::millis(&record.timestamp).unwrap_or(0))
        }
        Disagreement::Invented(j) | Disagreement::Twice(j) => {
            (round.reports[*j].endpoint.clone(), round.reports[*j].at)
        }
    }
}

fn timeline(round: &Round, endpoint: &str, times: &[i64]) -> String {
    let index = round.addresses.iter().position(|address| address == endpoint);
    let mut lines: Vec<(i64, String)> = Vec::new();
    for change in round.changes.iter().filter(|c| index.is_some_and(|i| c.endpoints.contains(&i))) {
        lines.push((change.at, format!("-- now {:?}", change.doing)));
    }
    for attempt in round.attempts.iter().filter(|a| a.endpoint == endpoint) {
        match attempt.kind {
            Kind::Attempt => lines.push((attempt.ended, attempt.to_string())),
            // An answer that was passed on says the same as its attempt.
            Kind::Request if attempt.text.ends_with("- via_upstream") => {}
            Kind::Request => lines.push((attempt.ended, format!("  {attempt}"))),
        }
    }
    for record in &round.records {
        let what = match record.action {
            Action::Eject => "EJECTED",
            Action::Return => "RETURNED",
            Action::Remove => "LEFT",
        };
        let at = timestamp::millis(&record.timestamp).unwrap_or(0);
        if record.endpoint == endpoint {
            lines.push((at, format!("==== Envoy: {what} {} ({})", record.reason, record.ejections)));
        } else {
            lines.push((at, format!("     (Envoy: {what} {} {})", record.reason, record.endpoint)));
        }
    }
    for line in &round.log {
        let Some(event) = Event::in_line(line) else { continue };
        let at = timestamp::of_log_line(line).unwrap_or(0);
        if event.text("endpoint") == endpoint {
            lines.push((at, format!("**** filter: {event}")));
        } else if event.name().starts_with("endpoint_") {
            lines.push((at, format!("     (filter: {} {})", event.name(), event.text("endpoint"))));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let lines = fold(&lines);
    let begin = lines.first().map_or(0, |(at, _)| *at);
    let near = |&(at, _): &(i64, String), time: i64| (at - time).abs() <= AROUND;
    // Changes to the endpoint and reports about it are always shown: earlier ones may be the reason.
    let own = |line: &str| ["--", "====", "****"].iter().any(|mark| line.starts_with(mark));
    let mut shown: BTreeSet<usize> = (0..lines.len()).filter(|i| own(&lines[*i].1)).collect();
    for time in times {
        let before = (0..lines.len()).rev().filter(|i| lines[*i].0 < *time && near(&lines[*i], *time));
        let after = (0..lines.len()).filter(|i| lines[*i].0 >= *time && near(&lines[*i], *time));
        shown.extend(before.take(MOST_LINES).chain(after.take(MOST_LINES)));
    }
    let name = index.map_or("an endpoint that is none of ours".to_owned(), |i| format!("endpoint {i}"));
    let mut text = format!("  {name}, {endpoint}; milliseconds from the endpoint's first line\n");
    let mut last = None;
    for i in shown {
        if last.is_some_and(|last| last + 1 < i) {
            text.push_str("     ...\n");
        }
        last = Some(i);
        let (at, line) = &lines[i];
        let _ = writeln!(text, "  {:>6}  {line}", at - begin);
    }
    text
}

/// Combines consecutive attempts with the same result into one line.
fn fold(lines: &[(i64, String)]) -> Vec<(i64, String)> {
    let alike = |(_, a): &(i64, String), (_, b): &(i64, String)| {
        let what = |text: &str| text.trim_start().split_once(" ms: ").map(|(_, what)| what.to_owned());
        a.starts_with("attempt") && b.starts_with("attempt") && what(a) == what(b)
    };
    let fold = |run: &[(i64, String)]| {
        let (at, first) = run.first().cloned().unwrap_or_default();
        let more =
            run.last().filter(|_| run.len() > 1).map(|(end, _)| format!(", {} times in {} ms", run.len(), end - at));
        (at, first + &more.unwrap_or_default())
    };
    lines.chunk_by(alike).map(fold).collect()
}
