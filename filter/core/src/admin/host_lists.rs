//! Envoy's list of hosts: the answer of its admin interface to `/clusters?format=json`.
//!
//! Missing fields have their defaults (the interface leaves out what is false or zero). Anything that is not such an
//! answer is an error; what was read before the error still counts. Not here: when to ask.

use super::address;
use super::elements::{each_element, each_element_of, object_without, text_member};
use super::values::{is_set, locality, text, whole};
use crate::json::Value;
use crate::locality::Locality;
use crate::order;
use std::io::Read;

/// A host as Envoy lists it. A host that is listed several times (with two priorities, or once for each worker in an
/// ORIGINAL_DST cluster) is one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostStatus {
    /// As the attribute `upstream.address` writes it: `ip:port`, `[ip]:port`, the path of a pipe, or
    /// `envoy://LISTENER/ENDPOINT_ID`.
    pub address: String,
    /// The host's locality.
    pub locality: Locality,
    /// Its lowest priority, from 0; hosts of a higher number get traffic only when those of lower ones are unhealthy.
    pub priority: u32,
    /// Whether the outlier detector currently ejects it, in any of its places.
    pub ejected: bool,
    /// Whether the control plane, active health checks or the outlier detector (Envoy 1.38 and later) take it for
    /// degraded: it gets traffic only if no other host can take it.
    pub degraded: bool,
    /// Whether active health checks and the control plane consider it healthy, in any of its places.
    pub healthy: bool,
    /// Requests that were sent to it or failed before they were, over all workers, since Envoy created it (`rq_total` +
    /// `rq_error`).
    pub requests: u64,
    /// Requests that it answered well (`rq_success`), counted likewise.
    pub successes: u64,
    /// Requests that failed (`rq_error`), each attempt that was retried included.
    pub errors: u64,
    /// Requests that were sent to it (`rq_total`).
    pub total: u64,
    /// In how many more places it is listed.
    pub again: u32,
}

impl HostStatus {
    /// Adds what is listed about the same host in another place.
    fn merge(&mut self, again: &Self) {
        self.ejected |= again.ejected;
        self.degraded |= again.degraded;
        self.healthy |= again.healthy;
        self.requests = self.requests.saturating_add(again.requests);
        self.successes = self.successes.saturating_add(again.successes);
        self.errors = self.errors.saturating_add(again.errors);
        self.total = self.total.saturating_add(again.total);
        self.again = self.again.saturating_add(again.again).saturating_add(1);
    }
}

/// What an answer held beside the hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostLists {
    /// The number of clusters that were not wanted. If the question named the clusters, this Envoy ignores that (before
    /// 1.38).
    pub others: u32,
}

/// Reads an answer and calls `each` with the name and the hosts, by address, of every cluster in it that is `wanted`.
/// A host whose address cannot be read is left out.
///
/// # Errors
/// A sentence that says what is wrong with the answer.
pub fn read(
    answer: impl Read,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(&str, &[HostStatus]),
) -> Result<HostLists, String> {
    let mut lists = HostLists::default();
    each_element(answer, "cluster_statuses", &mut |cluster| {
        let name = text_member(cluster, "name").unwrap_or_default();
        if wanted(&name) {
            each(&name, &hosts_of(cluster)?);
        } else {
            lists.others = lists.others.saturating_add(1);
        }
        Ok(())
    })?;
    Ok(lists)
}

fn hosts_of(cluster: &[u8]) -> Result<Vec<HostStatus>, String> {
    let mut hosts = Vec::new();
    each_element_of(cluster, "host_statuses", &mut |host| {
        // `null` and the like are left out.
        if host.starts_with(b"{") {
            let status = object_without(host, "stats").map_err(|error| format!("a host: {error}"))?;
            if let Some(mut status) = host_status(&status) {
                count_requests(&mut status, host)?;
                hosts.push(status);
            }
        }
        Ok(())
    })?;
    order::sort(&mut hosts, |a, b| (&a.address, a.priority) < (&b.address, b.priority));
    hosts.dedup_by(|again, host| {
        let is_same = again.address == host.address;
        if is_same {
            host.merge(again);
        }
        is_same
    });
    Ok(hosts)
}

/// Reads one host without its counts; `None` if its address cannot be read.
fn host_status(status: &Value) -> Option<HostStatus> {
    let health = status.get("health_status").unwrap_or(&Value::Null);
    let by_control_plane = matches!(text(health, "eds_health_status"), "UNHEALTHY" | "DRAINING" | "TIMEOUT");
    let by_check = is_set(health, "failed_active_health_check") || is_set(health, "pending_active_hc");
    Some(HostStatus {
        address: address::written(status.get("address")?)?,
        locality: locality(status),
        priority: whole(status, "priority").unwrap_or(0),
        ejected: is_set(health, "failed_outlier_check"),
        degraded: is_set(health, "failed_degraded_outlier_detection")
            || is_set(health, "failed_active_degraded_check")
            || text(health, "eds_health_status") == "DEGRADED",
        healthy: !(by_control_plane || by_check),
        ..HostStatus::default()
    })
}

/// Reads a host's counts. They are most of its text, and most of them are not wanted.
fn count_requests(status: &mut HostStatus, host: &[u8]) -> Result<(), String> {
    each_element_of(host, "stats", &mut |stat| {
        let name = text_member(stat, "name").unwrap_or_default();
        let count = match name.as_str() {
            "rq_success" => &mut status.successes,
            "rq_error" => &mut status.errors,
            "rq_total" => &mut status.total,
            _ => return Ok(()),
        };
        *count = text_member(stat, "value").and_then(|value| value.parse().ok()).unwrap_or(0);
        Ok(())
    })?;
    status.requests = status.total.saturating_add(status.errors);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{CLUSTERS_1_37, CLUSTERS_1_40};
    use super::*;

    type Seen = Vec<(String, Vec<HostStatus>)>;

    fn all(answer: &str) -> (Seen, Result<HostLists, String>) {
        let mut seen = Vec::new();
        let result = read(answer.as_bytes(), |_| true, |name, hosts| seen.push((name.to_owned(), hosts.to_vec())));
        (seen, result)
    }

    fn hosts_in(answer: &str, cluster: &str) -> Vec<HostStatus> {
        all(answer).0.into_iter().find(|(name, _)| name == cluster).unwrap().1
    }

    /// Address, priority, locality, and what is marked.
    fn marks(hosts: &[HostStatus]) -> Vec<String> {
        let mark = |is: bool, name| if is { name } else { "" };
        let marks = |host: &HostStatus| {
            let (ejected, degraded) = (mark(host.ejected, " ejected"), mark(host.degraded, " degraded"));
            let unhealthy = mark(!host.healthy, " unhealthy");
            format!("{} {} {}{ejected}{degraded}{unhealthy}", host.address, host.priority, host.locality.as_str())
        };
        hosts.iter().map(marks).collect()
    }

    #[test]
    fn marks_of_the_outlier_detector_health_checks_and_the_control_plane_are_told_apart() {
        assert_eq!(
            marks(&hosts_in(CLUSTERS_1_40, "outbound|80||reviews.ns.svc.cluster.local")),
            [
                "127.0.0.1:21290 0 r1/z1",
                "127.0.0.1:21291 0 r1/z1 ejected",
                "127.0.0.1:21292 1 r1/z2/s",
                "[fd00::1]:8080 1 r1/z2/s unhealthy"
            ]
        );
        assert_eq!(
            marks(&hosts_in(CLUSTERS_1_40, "outbound|80|v1|reviews.ns.svc.cluster.local")),
            [
                "127.0.0.1:21290 0 r1/z1 degraded",
                "127.0.0.1:21293 0 r1/z1 unhealthy",
                "127.0.0.1:21294 1 r1/z2 degraded",
                "127.0.0.1:21295 1 r1/z2 unhealthy"
            ]
        );
        assert_eq!(
            marks(&hosts_in(CLUSTERS_1_37, "checked")),
            ["127.0.0.1:21190 0 r1/z1 unhealthy", "127.0.0.1:21191 0 r1/z1 unhealthy"]
        );
    }

    #[test]
    fn addresses_of_every_kind_are_listed() {
        assert_eq!(
            marks(&hosts_in(CLUSTERS_1_37, "static-two")),
            [
                "127.0.0.1:21190 0 r1/z1",
                "127.0.0.1:21191 0 r1/z1 ejected",
                "envoy://inner/10.0.0.7:80 1 r1/z2",
                "envoy://inner2/ 1 r1/z2"
            ]
        );
        assert_eq!(marks(&hosts_in(CLUSTERS_1_37, "static-plain")), ["/tmp/app-37.sock 0 r1/z1"]);
        assert_eq!(marks(&hosts_in(CLUSTERS_1_37, "größe.ns")), ["127.0.0.1:21190 0 r1/zä"]);
    }

    #[test]
    fn counts_are_told_apart() {
        let hosts = hosts_in(CLUSTERS_1_40, "static-two");
        let counts = |host: &HostStatus| (host.successes, host.errors, host.total, host.requests);
        assert_eq!((counts(&hosts[0]), counts(&hosts[1])), ((4, 0, 4, 4), (0, 2, 2, 4)));
        let refused = &hosts_in(CLUSTERS_1_40, "tls")[0];
        assert_eq!(counts(refused), (0, 1, 0, 1), "a request that never got there");
    }

    #[test]
    fn a_host_that_is_listed_several_times_is_one() {
        // In two priorities, of which one is not ejected.
        let hosts = hosts_in(CLUSTERS_1_40, "twice");
        assert_eq!(marks(&hosts), ["127.0.0.1:21290 0 r1/z1", "127.0.0.1:21291 0 r1/z1 ejected"]);
        assert_eq!((hosts[1].errors, hosts[1].total, hosts[1].requests), (5, 5, 10));
        // Once for each worker of an ORIGINAL_DST cluster.
        let hosts = hosts_in(CLUSTERS_1_40, "orig");
        assert_eq!(marks(&hosts), ["127.0.0.1:21290 0 ", "127.0.0.1:21291 0  ejected"]);
        assert_eq!((hosts[0].successes, hosts[1].errors), (40, 4));
    }

    #[test]
    fn clusters_that_are_not_wanted_are_counted_and_not_looked_into() {
        let mut seen = Vec::new();
        let read_with = |answer: &str, seen: &mut Vec<String>| {
            read(answer.as_bytes(), |name| name == "agg" || name == "orig", |name, _| seen.push(name.to_owned()))
        };
        assert_eq!(read_with(CLUSTERS_1_37, &mut seen), Ok(HostLists { others: 10 }));
        seen.sort();
        assert_eq!(seen, ["agg", "orig"]);
        let broken = r#"{"cluster_statuses": [{"name": "b", "host_statuses": 5}, {"name": "agg"}]}"#;
        assert_eq!(read_with(broken, &mut seen), Ok(HostLists { others: 1 }));
        assert_eq!(read_with("{}", &mut seen), Ok(HostLists::default()), "what Envoy answers about no cluster");
    }

    #[test]
    fn anything_else_is_an_error_and_what_was_read_before_it_counts() {
        for broken in ["", "[]", "null", "<html>", r#"{"cluster_statuses": 5}"#, r#"{"cluster_statuses": [{]}"#] {
            let (seen, result) = all(broken);
            assert!(result.is_err() && seen.is_empty(), "{broken}");
        }
        let (seen, result) = all(r#"{"cluster_statuses": [{"name": "a"}, {"name": "b", "host_"#);
        assert_eq!((seen.len(), result), (1, Err("the answer is cut".into())));
        let hosts =
            r#"{"cluster_statuses": [{"name": "a"}, {"name": "b", "host_statuses": [{"a" 5}]}, {"name": "c"}]}"#;
        let (seen, result) = all(hosts);
        assert_eq!((seen.len(), result), (1, Err("a host: unexpected '5'".into())));
    }

    #[test]
    fn odd_values_are_defaults() {
        let odd = r#"{"cluster_statuses": [{"name": 7, "host_statuses": [null, {"address": 1},
            {"address": {"pipe": {"path": "/p"}}, "priority": 99999999999, "health_status": 5, "locality": "z",
             "stats": [{"name": "rq_total", "value": "x"}, {"name": "rq_error", "value": 5}, 7]}]}]}"#;
        let (seen, result) = all(odd);
        assert_eq!(result, Ok(HostLists::default()));
        let host = HostStatus { address: "/p".into(), priority: u32::MAX, healthy: true, ..HostStatus::default() };
        assert_eq!(seen, [(String::new(), vec![host])]);
    }
}
