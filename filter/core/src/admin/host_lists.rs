//! Envoy's list of hosts: the answer of its admin interface to `/clusters?format=json`.
//!
//! The list is read as a stream, cluster by cluster, so that an answer about a thousand clusters takes no more memory
//! than one about the largest. Missing fields have their defaults (the interface leaves out what is false or zero).
//! Anything that is not such an answer is an error; what was read before the error still counts. Not here: when to ask.

use crate::locality::Locality;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::Read;

/// A host as Envoy lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostStatus {
    /// `ip:port`, as the attribute `upstream.address` writes it.
    pub address: String,
    /// The host's locality.
    pub locality: Locality,
    /// Its priority, from 0; hosts of a higher number get traffic only when those of lower ones are unhealthy.
    pub priority: u32,
    /// Whether the outlier detector currently ejects it.
    pub ejected: bool,
    /// Whether active health checks and the control plane consider it healthy.
    pub healthy: bool,
    /// Requests that were sent to it or failed before they were, over all workers, since Envoy created it (`rq_total` +
    /// `rq_error`).
    pub requests: u64,
}

/// Reads an answer and calls `each` with the name and the hosts of every cluster in it.
///
/// # Errors
/// A sentence that says what is wrong with the answer.
pub fn read(answer: impl Read, mut each: impl FnMut(&str, &[HostStatus])) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_reader(answer);
    json.deserialize_map(Answer { each: &mut each }).map_err(|error| error.to_string())
}

struct Answer<'f> {
    each: &'f mut dyn FnMut(&str, &[HostStatus]),
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
    each: &'f mut dyn FnMut(&str, &[HostStatus]),
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
            let hosts: Vec<HostStatus> = hosts.into_iter().flatten().filter_map(host).collect();
            (self.each)(text(&cluster, "name"), &hosts);
        }
        Ok(())
    }
}

/// Reads one host; `None` if its address is not `ip:port`.
fn host(status: &Value) -> Option<HostStatus> {
    let socket = status.get("address")?.get("socket_address")?;
    let (ip, port) = (text(socket, "address"), socket.get("port_value")?.as_u64()?);
    let address = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
    let locality = status.get("locality").unwrap_or(&Value::Null);
    let locality = Locality::from_parts(text(locality, "region"), text(locality, "zone"), text(locality, "sub_zone"));
    let health = status.get("health_status").unwrap_or(&Value::Null);
    let set = |name: &str| health.get(name).and_then(Value::as_bool).unwrap_or(false);
    let by_control_plane = matches!(text(health, "eds_health_status"), "UNHEALTHY" | "DRAINING" | "TIMEOUT");
    let healthy = !(by_control_plane || set("failed_active_health_check") || set("pending_active_hc"));
    let counted = |stat: &Value| matches!(text(stat, "name"), "rq_total" | "rq_error");
    let stats = status.get("stats").and_then(Value::as_array).into_iter().flatten().filter(|stat| counted(stat));
    let requests = stats.fold(0_u64, |sum, stat| sum.saturating_add(text(stat, "value").parse().unwrap_or(0)));
    let priority = status.get("priority").and_then(Value::as_u64).unwrap_or(0);
    let priority = u32::try_from(priority).unwrap_or(u32::MAX);
    Some(HostStatus { address, locality, priority, ejected: set("failed_outlier_check"), healthy, requests })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(String, Vec<HostStatus>)>;

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
        assert_eq!(hosts[0], HostStatus { address, locality, priority: 0, ejected: true, healthy: true, requests: 11 });
        assert_eq!((hosts[1].address.as_str(), hosts[1].ejected, hosts[1].healthy), ("[fd00::1]:81", false, false));
    }

    #[test]
    fn anything_else_is_an_error_and_what_was_read_before_it_counts() {
        for broken in ["", "[]", "null", "<html>", r#"{"cluster_statuses": 5}"#, r#"{"cluster_statuses": [{]}"#] {
            let (seen, result) = all(broken);
            assert!(result.is_err() && seen.is_empty(), "{broken}");
        }
        let (seen, result) = all(r#"{"cluster_statuses": [{"name": "a"}, {"name": "b", "host_"#);
        assert!(result.is_err());
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn odd_values_are_defaults() {
        let (seen, result) = all(r#"{"cluster_statuses": [5, {"name": 7, "host_statuses": [null, {"address": 1}]}]}"#);
        assert_eq!(result, Ok(()));
        assert!(seen.iter().all(|(name, hosts)| name.is_empty() && hosts.is_empty()));
    }
}
