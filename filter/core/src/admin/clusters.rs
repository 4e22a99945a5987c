//! Envoy's own word: the answers of its admin interface to `/clusters?format=json`, its list of endpoints, and to
//! `/stats?format=json`, of which its count of ejections matters.
//!
//! The list is read as a stream, cluster by cluster, so that an answer about a thousand clusters takes no more memory than one about
//! the largest. Whatever is missing has its default (the interface leaves out what is false or zero); whatever is
//! not an answer of this kind is an error, and what was read before the error counts. Not here: when to ask.

use crate::locality::Locality;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::io::Read;

/// An endpoint as Envoy shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// `ip:port`, as the attribute `upstream.address` writes it.
    pub address: String,
    /// Its locality.
    pub locality: Locality,
    /// The outlier detector holds it ejected.
    pub ejected: bool,
    /// Nothing else speaks against it: active health checks, the control plane.
    pub healthy: bool,
    /// Requests that went to it or failed to, over all workers, since Envoy knows it.
    pub tried: u64,
}

/// Reads an answer; `each` gets the name and the endpoints of every cluster in it.
///
/// # Errors
/// What is wrong with the answer, in a sentence.
pub fn read(answer: impl Read, mut each: impl FnMut(&str, &[Witnessed])) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_reader(answer);
    json.deserialize_map(Answer { each: &mut each }).map_err(|error| error.to_string())
}

/// The reasons of ejections that are told apart, as events name them; the last is any other.
pub const REASONS: [&str; 4] =
    ["consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure", "other"];

/// What the names of Envoy's counts begin with, behind the cluster's.
const COUNTS: &str = ".outlier_detection.ejections_enforced_";

/// A number of ejections by reason, in the order of [`REASONS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejections([u64; REASONS.len()]);

impl Ejections {
    /// One more.
    pub fn add(&mut self, reason: &str) {
        self.add_all(reason, 1);
    }

    fn add_all(&mut self, reason: &str, more: u64) {
        let known = REASONS.iter().zip(&mut self.0).find(|(known, _)| **known == reason);
        if let Some((_, count)) = known {
            *count = count.saturating_add(more);
        }
    }

    /// By how much these exceed others, reason by reason.
    pub fn less(&self, others: &Self) -> [i64; REASONS.len()] {
        let mut less = [0; REASONS.len()];
        for (less, (count, other)) in less.iter_mut().zip(self.0.iter().zip(&others.0)) {
            *less = 0_i64.saturating_add_unsigned(*count).saturating_sub_unsigned(*other);
        }
        less
    }
}

/// The name under which Envoy's statistics know a cluster; Istio puts a semicolon behind it.
pub fn name_in_stats(cluster: &str) -> String {
    cluster.replace(':', "_")
}

/// Reads Envoy's counts of enforced ejections; each with the name under which its statistics know the cluster. Clusters
/// whose whole count is not in the answer are left out.
///
/// # Errors
/// What is wrong with the answer, in a sentence.
pub fn read_counts(answer: impl Read) -> Result<Vec<(String, Ejections)>, String> {
    let answer: Value = serde_json::from_reader(answer).map_err(|error| error.to_string())?;
    let stats = answer.get("stats").and_then(Value::as_array).ok_or("no statistics")?;
    let mut counts: Vec<(String, Ejections, Option<u64>)> = Vec::new();
    for stat in stats {
        let name = text(stat, "name").strip_prefix("cluster.").and_then(|name| name.rsplit_once(COUNTS));
        let (Some((cluster, reason)), Some(value)) = (name, stat.get("value").and_then(Value::as_u64)) else {
            continue;
        };
        let cluster = cluster.strip_suffix(';').unwrap_or(cluster);
        if !counts.iter().any(|(known, ..)| known == cluster) {
            counts.push((cluster.to_owned(), Ejections::default(), None));
        }
        let Some((_, count, total)) = counts.iter_mut().find(|(known, ..)| known == cluster) else { continue };
        match reason {
            "total" => *total = Some(value),
            reason => count.add_all(reason, value),
        }
    }
    let whole = |(cluster, mut count, total): (String, Ejections, Option<u64>)| {
        let known = count.0.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        count.add_all("other", total?.saturating_sub(known));
        Some((cluster, count))
    };
    Ok(counts.into_iter().filter_map(whole).collect())
}

struct Answer<'f> {
    each: &'f mut dyn FnMut(&str, &[Witnessed]),
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the clusters of Envoy's admin interface")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "cluster_statuses" {
                map.next_value_seed(Clusters { each: self.each })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Clusters<'f> {
    each: &'f mut dyn FnMut(&str, &[Witnessed]),
}

impl<'de> DeserializeSeed<'de> for Clusters<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Clusters<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of clusters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(cluster) = seq.next_element::<Value>()? {
            let hosts = cluster.get("host_statuses").and_then(Value::as_array);
            let hosts: Vec<Witnessed> = hosts.into_iter().flatten().filter_map(host).collect();
            (self.each)(text(&cluster, "name"), &hosts);
        }
        Ok(())
    }
}

/// An endpoint; `None` for one without an address of the kind that traffic shows.
fn host(status: &Value) -> Option<Witnessed> {
    let socket = status.get("address")?.get("socket_address")?;
    let (ip, port) = (text(socket, "address"), socket.get("port_value")?.as_u64()?);
    let address = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
    let place = status.get("locality").unwrap_or(&Value::Null);
    let locality = Locality::from_parts(text(place, "region"), text(place, "zone"), text(place, "sub_zone"));
    let health = status.get("health_status").unwrap_or(&Value::Null);
    let set = |name: &str| health.get(name).and_then(Value::as_bool).unwrap_or(false);
    let by_control_plane = matches!(text(health, "eds_health_status"), "UNHEALTHY" | "DRAINING" | "TIMEOUT");
    let healthy = !(by_control_plane || set("failed_active_health_check") || set("pending_active_hc"));
    let counted = |stat: &Value| matches!(text(stat, "name"), "rq_total" | "rq_error");
    let stats = status.get("stats").and_then(Value::as_array).into_iter().flatten().filter(|stat| counted(stat));
    let tried = stats.fold(0_u64, |sum, stat| sum.saturating_add(text(stat, "value").parse().unwrap_or(0)));
    Some(Witnessed { address, locality, ejected: set("failed_outlier_check"), healthy, tried })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(String, Vec<Witnessed>)>;

    fn all(answer: &str) -> (Seen, Result<(), String>) {
        let mut seen = Vec::new();
        let result = read(answer.as_bytes(), |name, hosts| seen.push((name.to_owned(), hosts.to_vec())));
        (seen, result)
    }

    #[test]
    fn reads_what_envoy_answers() {
        let (seen, result) = all(r#"{"cluster_statuses": [{"name": "a", "added_via_api": true, "host_statuses": [
              {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}},
               "stats": [{"name": "rq_error", "value": "2"}, {"name": "cx_total"}, {"name": "rq_total", "value": "9"}],
               "health_status": {"failed_outlier_check": true, "eds_health_status": "HEALTHY"},
               "locality": {"region": "r", "zone": "z"}},
              {"address": {"socket_address": {"address": "fd00::1", "port_value": 81}},
               "health_status": {"eds_health_status": "DRAINING"}},
              {"address": {"pipe": {"path": "/x"}}}]}, {"name": "b"}], "other": 1}"#);
        assert_eq!(result, Ok(()));
        assert_eq!(seen.len(), 2);
        let (name, hosts) = &seen[0];
        assert_eq!((name.as_str(), hosts.len()), ("a", 2));
        let (address, locality) = ("10.0.0.1:80".into(), Locality::parse("r/z"));
        assert_eq!(hosts[0], Witnessed { address, locality, ejected: true, healthy: true, tried: 11 });
        assert_eq!((hosts[1].address.as_str(), hosts[1].ejected, hosts[1].healthy), ("[fd00::1]:81", false, false));
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_what_was_read_counts() {
        for broken in ["", "[]", "null", "<html>", r#"{"cluster_statuses": 5}"#, r#"{"cluster_statuses": [{]}"#] {
            let (seen, result) = all(broken);
            assert!(result.is_err() && seen.is_empty(), "{broken}");
        }
        let (seen, result) = all(r#"{"cluster_statuses": [{"name": "a"}, {"name": "b", "host_"#);
        assert!(result.is_err());
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn counts_are_told_apart_by_reason_and_cluster() {
        let answer = r#"{"stats": [
          {"name": "cluster.a.outlier_detection.ejections_enforced_consecutive_5xx", "value": 2},
          {"name": "cluster.a.outlier_detection.ejections_enforced_success_rate", "value": 1},
          {"name": "cluster.a.outlier_detection.ejections_enforced_total", "value": 3},
          {"name": "cluster.outbound|80||b.c;.outlier_detection.ejections_enforced_total", "value": 0},
          {"name": "cluster.cut.outlier_detection.ejections_enforced_consecutive_5xx", "value": 2},
          {"name": "cluster.a.outlier_detection.ejections_active", "value": 9},
          {"histograms": {}}, 5]}"#;
        let counts = read_counts(answer.as_bytes()).unwrap();
        assert_eq!(counts, [("a".into(), Ejections([2, 0, 0, 1])), ("outbound|80||b.c".into(), Ejections::default())]);
        assert!(read_counts(&b"<html>"[..]).is_err() && read_counts(&b"[]"[..]).is_err());
        assert_eq!(name_in_stats("outbound|80||[::1]"), "outbound|80||[__1]");
    }

    #[test]
    fn odd_values_are_defaults() {
        let (seen, result) = all(r#"{"cluster_statuses": [5, {"name": 7, "host_statuses": [null, {"address": 1}]}]}"#);
        assert_eq!(result, Ok(()));
        assert!(seen.iter().all(|(name, hosts)| name.is_empty() && hosts.is_empty()));
    }
}
