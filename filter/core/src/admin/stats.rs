//! Envoy's count of ejections: the counters about outlier detection in the answer of its admin interface to
//! `/stats?format=json`.

use super::elements::each_element;
use super::values::text;
use crate::encoded;
use crate::endpoint::reason::EjectReason;
use crate::json::{Value, parse};
use std::io::Read;

/// The parts of a counter's name before the reason: of ejections, and of streaks that reached their threshold, whether
/// or not Envoy ejected for them.
const COUNTS: &str = "ejections_enforced_";
const DETECTED: &str = "ejections_detected_consecutive_";

/// Numbers of ejections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    /// By reason, in the order of [`EjectReason::ALL`].
    by_reason: [u64; EjectReason::ALL.len()],
    /// How many streaks reached their threshold; `None` if Envoy does not keep that count.
    detected: Option<u64>,
}

encoded!(struct Ejections { by_reason, detected });

impl Ejections {
    /// Counts `more` ejections for `reason`.
    pub fn add(&mut self, reason: EjectReason, more: u64) {
        let counts = EjectReason::ALL.iter().zip(&mut self.by_reason);
        for (_, count) in counts.filter(|(known, _)| **known == reason) {
            *count = count.saturating_add(more);
        }
    }

    /// How many streaks reached their threshold, whether or not Envoy ejected for them; `None` if it does not keep that
    /// count.
    pub fn detected(&self) -> Option<u64> {
        self.detected
    }

    /// By how much these counts exceed `others`, reason by reason.
    pub fn diff(&self, others: &Self) -> [i64; EjectReason::ALL.len()] {
        let mut diff = [0; EjectReason::ALL.len()];
        for (diff, (count, other)) in diff.iter_mut().zip(self.by_reason.iter().zip(&others.by_reason)) {
            *diff = 0_i64.saturating_add_unsigned(*count).saturating_sub_unsigned(*other);
        }
        diff
    }
}

/// A cluster's name in Envoy's statistics; Istio appends a semicolon to it.
pub fn name_in_stats(cluster: &str) -> String {
    cluster.replace(':', "_")
}

/// Reads Envoy's counts of enforced ejections, each with the name of the cluster in its statistics. Clusters without a
/// total in the answer are left out.
///
/// # Errors
/// A sentence that says what is wrong with the answer.
pub fn read(answer: impl Read) -> Result<Vec<(String, Ejections)>, String> {
    let mut counts: Vec<(String, Ejections, Option<u64>)> = Vec::new();
    let has_stats = each_element(answer, "stats", &mut |stat| {
        let stat = parse(stat).map_err(|error| format!("a statistic: {error}"))?;
        count(&stat, &mut counts);
        Ok(())
    })?;
    if !has_stats {
        return Err("no statistics".into());
    }
    let whole = |(cluster, mut count, total): (String, Ejections, Option<u64>)| {
        let known = count.by_reason.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        count.add(EjectReason::Other, total?.saturating_sub(known));
        Some((cluster, count))
    };
    Ok(counts.into_iter().filter_map(whole).collect())
}

/// Adds a statistic to the counts, if it is one of them.
fn count(stat: &Value, counts: &mut Vec<(String, Ejections, Option<u64>)>) {
    let name = text(stat, "name").strip_prefix("cluster.").unwrap_or_default();
    let Some(value) = stat.get("value").and_then(Value::as_u64) else { return };
    let Some((scope, count)) = name.rsplit_once('.') else { return };
    let Some(cluster) = scope.strip_suffix(".outlier_detection") else { return };
    let (ejections, detections) = (count.strip_prefix(COUNTS), count.strip_prefix(DETECTED));
    let Some(reason) = ejections.or(detections) else { return };
    let cluster = cluster.strip_suffix(';').unwrap_or(cluster);
    if !counts.iter().any(|(known, ..)| known == cluster) {
        counts.push((cluster.to_owned(), Ejections::default(), None));
    }
    let Some((_, count, total)) = counts.iter_mut().find(|(known, ..)| known == cluster) else { return };
    if detections.is_some() {
        count.detected = Some(count.detected.unwrap_or(0).saturating_add(value));
        return;
    }
    match reason {
        "total" => *total = Some(value),
        // Ejections for any other reason are the difference between Envoy's total and these.
        reason => match EjectReason::from_name(reason) {
            EjectReason::Other => {}
            reason => count.add(reason, value),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_apart_by_reason_and_cluster() {
        let answer = r#"{"stats": [
          {"name": "cluster.a.outlier_detection.ejections_enforced_consecutive_5xx", "value": 2},
          {"name": "cluster.a.outlier_detection.ejections_enforced_success_rate", "value": 1},
          {"name": "cluster.a.outlier_detection.ejections_enforced_total", "value": 3},
          {"name": "cluster.outbound|80||b.c;.outlier_detection.ejections_enforced_total", "value": 0},
          {"name": "cluster.cut.outlier_detection.ejections_enforced_consecutive_5xx", "value": 2},
          {"name": "cluster.a.outlier_detection.ejections_detected_consecutive_5xx", "value": 4},
          {"name": "cluster.a.outlier_detection.ejections_detected_consecutive_gateway_failure", "value": 3},
          {"name": "cluster.a.outlier_detection.ejections_detected_success_rate", "value": 9},
          {"name": "cluster.a.outlier_detection.ejections_active", "value": 9},
          {"histograms": {}}, 5]}"#;
        let counts = read(answer.as_bytes()).unwrap();
        assert_eq!(
            counts,
            [
                ("a".into(), Ejections { by_reason: [2, 0, 0, 1], detected: Some(7) }),
                ("outbound|80||b.c".into(), Ejections::default()),
            ]
        );
        assert!(read(&b"<html>"[..]).is_err() && read(&b"[]"[..]).is_err());
        assert_eq!(name_in_stats("outbound|80||[::1]"), "outbound|80||[__1]");
    }
}
