//! Endpoints that left their cluster, or were replaced, within moments of their return or of their ejection.
//!
//! No list need show such a return, nor an ejection that followed it at once: lists are taken some time apart. That an
//! endpoint whose ejection was due left as an ejected one is what the filter may conclude then, if it says `inferred`.

use super::compare::{Report, compare};
use super::observe::Sample;
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;

/// How soon after its return an endpoint must have gone, in milliseconds: the time between two lists while something is
/// open, with what Envoy takes to answer.
const LEAVES_WITHIN_MS: i64 = 150;

/// The time between two samples, in milliseconds.
const SAMPLED_EVERY_MS: i64 = 60;

/// Envoy's records, with a removal in place of those returns that the filter had no time to see and told as inferred
/// removals; ejections between such a return and the endpoint's leaving are left out. And how many returns these are.
pub(super) fn with_unseen_as_removals(
    records: Vec<Record>,
    reports: &[Report],
    samples: &[Sample],
) -> (Vec<Record>, usize) {
    let (mut records, mut unseen, mut from) = (records, 0, 0);
    while let Some(index) = (from..records.len()).find(|i| records[*i].action == Action::Return) {
        from = index + 1;
        let is_concluded = |report: &Report| {
            let is_removal = report.action == Action::Remove && report.event.text("basis") == "inferred";
            is_removal && report.cluster == records[index].cluster && report.endpoint == records[index].endpoint
        };
        let gone = reports.iter().any(is_concluded).then(|| gone_soon(&records[index], samples)).flatten();
        let Some(gone) = gone else { continue };
        let fewer = removed_at(&records, index, gone);
        if compare(&fewer, reports).wrong.len() < compare(&records, reports).wrong.len() {
            (records, unseen) = (fewer, unseen + 1);
        }
    }
    (records, unseen)
}

/// Envoy's records without those ejections that were not told of an endpoint that left within moments, and their ends.
/// Envoy's main thread also ejects endpoints that have just left, by what workers reported before. And how many.
pub(super) fn without_unseen_ejections(
    records: Vec<Record>,
    reports: &[Report],
    samples: &[Sample],
) -> (Vec<Record>, usize) {
    let (mut records, mut unseen, mut from) = (records, 0, 0);
    while let Some(index) = (from..records.len()).find(|i| records[*i].action == Action::Eject) {
        from = index + 1;
        let is_own = |r: &Record| r.cluster == records[index].cluster && r.endpoint == records[index].endpoint;
        let Some(end) = (from..records.len()).find(|i| is_own(&records[*i])) else { continue };
        if records[end].action != Action::Remove || gone_soon(&records[index], samples).is_none() {
            continue;
        }
        let is_kept = |i: usize| i != index && i != end;
        let fewer: Vec<Record> = (0..records.len()).filter(|i| is_kept(*i)).map(|i| records[i].clone()).collect();
        if compare(&fewer, reports).wrong.len() < compare(&records, reports).wrong.len() {
            (records, unseen, from) = (fewer, unseen + 1, index);
        }
    }
    (records, unseen)
}

/// When samples first show the returned endpoint gone or replaced by a new host, if that is soon after its return.
fn gone_soon(returned: &Record, samples: &[Sample]) -> Option<i64> {
    let at = timestamp::millis(&returned.timestamp)?;
    let key = (returned.cluster.clone(), returned.endpoint.clone());
    let host = |sample: &Sample| sample.hosts.get(&key).map(|host| host.requests);
    let earlier = samples.iter().rev().skip_while(|sample| sample.at > at);
    let mut before = earlier.take(2).find_map(host)?;
    for sample in
        samples.iter().filter(|sample| sample.at > at && sample.at <= at + LEAVES_WITHIN_MS + SAMPLED_EVERY_MS)
    {
        match host(sample) {
            Some(requests) if requests >= before => before = requests,
            _ => return Some(sample.at),
        }
    }
    None
}

/// The records with a removal instead of the return with this index, and without the ejections of that host that began
/// before it was gone, nor their ends.
fn removed_at(records: &[Record], index: usize, gone: i64) -> Vec<Record> {
    let returned = &records[index];
    let mut kept = records[..index].to_vec();
    kept.push(Record { action: Action::Remove, reason: String::new(), ..returned.clone() });
    let mut is_its_past = true;
    for record in &records[index + 1..] {
        let is_own = record.cluster == returned.cluster && record.endpoint == returned.endpoint;
        let is_later = timestamp::millis(&record.timestamp).is_none_or(|at| at > gone);
        is_its_past &= !(is_own && is_later && record.action == Action::Eject);
        if !is_own || !is_its_past {
            kept.push(record.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::observe::Host;

    const BEGIN: i64 = 1_767_225_600_000;

    fn record(action: Action, millis: i64, ejections: u64) -> Record {
        Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "e:1".to_owned(),
            reason: "consecutive_5xx".to_owned(),
            ejections,
            timestamp: timestamp::of_millis(BEGIN + millis),
        }
    }

    fn report(name: &str, basis: &str, second: u32) -> Report {
        let line = format!(
            r#"[2026-01-01 00:00:{second:02}.000][1] {{"faultline":"{name}","cluster":"c","endpoint":"e:1","basis":"{basis}","reason":"consecutive_5xx","ejection":1}}"#
        );
        Report::in_line(&line).unwrap()
    }

    fn sample(at: i64, requests: u64) -> Sample {
        let host = Host { locality: "r".to_owned(), out: Vec::new(), requests };
        Sample { at: BEGIN + at, hosts: [(("c".to_owned(), "e:1".to_owned()), host)].into(), counts: Vec::new() }
    }

    fn unseen(basis: &str, replaced_at: i64) -> usize {
        let records = vec![
            record(Action::Eject, 1_000, 1),
            record(Action::Return, 3_000, 1),
            record(Action::Eject, 3_005, 2),
            // The sample that shows it.
            record(Action::Remove, replaced_at + 60, 2),
            record(Action::Eject, 9_000, 1),
        ];
        let reports = [
            report("endpoint_ejected", "witnessed", 1),
            report("endpoint_removed", basis, 3),
            report("endpoint_ejected", "witnessed", 9),
        ];
        let samples = [sample(2_990, 7), sample(replaced_at, 0)];
        let (records, unseen) = with_unseen_as_removals(records, &reports, &samples);
        assert_eq!(compare(&records, &reports).wrong.is_empty(), unseen == 1);
        unseen
    }

    #[test]
    fn an_ejection_of_what_leaves_at_once_need_not_be_seen() {
        let records = vec![record(Action::Eject, 3_000, 1), record(Action::Remove, 3_160, 1)];
        let unseen = |gone: i64| without_unseen_ejections(records.clone(), &[], &[sample(2_990, 7), sample(gone, 0)]).1;
        assert_eq!([unseen(3_020), unseen(3_400)], [1, 0]);
        let told = [report("endpoint_ejected", "witnessed", 3), report("endpoint_removed", "witnessed", 3)];
        let samples = [sample(2_990, 7), sample(3_020, 0)];
        assert_eq!(without_unseen_ejections(records.clone(), &told, &samples).1, 0, "it was seen");
    }

    #[test]
    fn a_return_that_no_list_could_show_may_be_concluded_to_be_a_removal() {
        assert_eq!(unseen("inferred", 3_100), 1);
        assert_eq!(unseen("witnessed", 3_100), 0, "nothing showed it");
        assert_eq!(unseen("inferred", 3_400), 0, "there was time for a list");
    }
}
