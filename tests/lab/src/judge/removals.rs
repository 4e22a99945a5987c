//! Ejected endpoints that left their cluster or were replaced: Envoy's event log has no line for these, its list of
//! hosts shows them.

use super::observe::Sample;
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;

/// How long after Envoy's log has an ejection a sample may still be without it, and how long a sample may still have an
/// ejection after its return, in milliseconds.
const SLACK: i64 = 150;

/// Envoy's records, with a [`Action::Remove`] for each ejection that ended because the endpoint left or was replaced.
/// Records and samples are in order of time.
pub(super) fn with_removals(records: &[Record], samples: &[Sample]) -> Vec<Record> {
    let mut all = Vec::new();
    for (index, record) in records.iter().enumerate() {
        all.push(record.clone());
        if record.action == Action::Eject {
            let own = |r: &&Record| r.cluster == record.cluster && r.endpoint == record.endpoint;
            let next = records[index + 1..].iter().find(own);
            if next.is_none_or(|next| next.action == Action::Eject) {
                all.extend(removal(record, next, samples));
            }
        }
    }
    all.sort_by_key(|record| timestamp::millis(&record.timestamp));
    all
}

/// The end of an ejection that has no return, if there is one so far; `next` is the next ejection at that address.
fn removal(record: &Record, next: Option<&Record>, samples: &[Sample]) -> Option<Record> {
    let since = timestamp::millis(&record.timestamp)?;
    let until = next.and_then(|next| timestamp::millis(&next.timestamp));
    let key = (record.cluster.clone(), record.endpoint.clone());
    let later = samples.iter().filter(|sample| sample.at > since + SLACK);
    let is_ejected =
        |sample: &Sample| sample.hosts.get(&key).is_some_and(|host| host.out.contains(&super::observe::Out::Ejected));
    let first = later.take_while(|sample| until.is_none_or(|until| sample.at < until)).find(|s| !is_ejected(s));
    let at = first.map(|sample| sample.at).or(until)?;
    Some(Record {
        action: Action::Remove,
        reason: String::new(),
        timestamp: timestamp::of_millis(at),
        ..record.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::judge::observe::{Host, Out};

    fn record(action: Action, millis: i64) -> Record {
        Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "e:1".to_owned(),
            reason: "consecutive_5xx".to_owned(),
            ejections: 1,
            timestamp: timestamp::of_millis(millis),
        }
    }

    fn sample(at: i64, host: Option<Vec<Out>>) -> Sample {
        let host = host.map(|out| Host { locality: "r".to_owned(), out, requests: 0 });
        let hosts: BTreeMap<_, _> = host.map(|host| (("c".to_owned(), "e:1".to_owned()), host)).into_iter().collect();
        Sample { at, hosts, counts: Vec::new() }
    }

    #[test]
    fn an_ejection_without_a_return_ends_when_the_list_no_longer_has_it() {
        let samples = [
            sample(1_000, Some(vec![])),
            sample(1_200, Some(vec![Out::Ejected])),
            sample(1_400, None),
            sample(1_600, Some(vec![])),
        ];
        let seen = |records: &[Record]| -> Vec<(Action, String)> {
            with_removals(records, &samples).into_iter().map(|r| (r.action, r.timestamp)).collect()
        };
        let ejected = record(Action::Eject, 1_000);
        let removed = (Action::Remove, timestamp::of_millis(1_400));
        assert_eq!(seen(std::slice::from_ref(&ejected))[1], removed);
        assert_eq!(seen(&[ejected.clone(), record(Action::Return, 1_350)]).len(), 2);
        let again = seen(&[ejected.clone(), record(Action::Eject, 1_500)]);
        assert_eq!(again[1], removed);
        assert_eq!(again.len(), 3, "the second ejection began after the last sample that could show its end");
    }
}
