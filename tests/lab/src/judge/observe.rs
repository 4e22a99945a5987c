//! What Envoy says of every host, and what the endpoints have counted, twenty times a second.
//!
//! This is what failovers and removals are judged by. Not here: the outlier event log, which has the exact times of
//! ejections and returns.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::endpoints::Upstream;
use crate::net::http::Client;

/// The time between two samples.
const EVERY: Duration = Duration::from_millis(50);

/// Why a host gets no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Out {
    /// The outlier detector ejected it.
    Ejected,
    /// Health checks or the control plane say that it is unhealthy.
    Unhealthy,
}

/// A host at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// `region/zone/subzone`, trailing empty parts left off.
    pub(super) locality: String,
    /// Why it is not in rotation; empty if it is.
    pub(super) out: Vec<Out>,
    /// Requests that Envoy has sent to it, as far as they got a connection.
    pub(super) requests: u64,
}

/// Hosts by cluster and `ip:port`.
pub(super) type Hosts = BTreeMap<(String, String), Host>;

/// All hosts at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// When the answer came, in milliseconds since the Unix epoch.
    pub(super) at: i64,
    /// The hosts.
    pub(super) hosts: Hosts,
    /// The requests that each endpoint has read so far, by its index.
    pub(super) counts: Vec<u64>,
}

/// Samples until it is dropped.
#[derive(Debug)]
pub(super) struct Observer {
    samples: Arc<Mutex<Vec<Sample>>>,
    /// The longest that this thread has slept too long, in milliseconds.
    stall: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Starts to ask the admin interface at `admin`.
    pub(super) fn start(admin: SocketAddr, upstreams: Arc<Vec<Upstream>>) -> Self {
        let (samples, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let stall = Arc::new(AtomicI64::new(0));
        let (into, stopped, stalled) = (Arc::clone(&samples), Arc::clone(&stop), Arc::clone(&stall));
        let thread = thread::spawn(move || {
            let mut client = Client::new(admin, "localhost");
            while !stopped.load(Ordering::SeqCst) {
                // Envoy ends before the observer when a round fails.
                if let Ok(answer) = client.get("/clusters?format=json") {
                    let hosts = serde_json::from_slice(&answer.body).map(|answer: Value| hosts(&answer));
                    let counts = upstreams.iter().map(Upstream::requests).collect();
                    let sample = Sample { at: now(), hosts: hosts.unwrap_or_default(), counts };
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                }
                let before = Instant::now();
                thread::sleep(EVERY);
                let late = before.elapsed().saturating_sub(EVERY).as_millis();
                stalled.fetch_max(i64::try_from(late).unwrap_or(i64::MAX), Ordering::SeqCst);
            }
        });
        Self { samples, stall, stop, thread: Some(thread) }
    }

    /// For how long this machine has stood still, in milliseconds: how much longer than it should a thread has slept
    /// that does not depend on Envoy or the filter.
    pub(super) fn stall(&self) -> i64 {
        self.stall.load(Ordering::SeqCst)
    }

    /// All samples so far.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has already reported that.
            let _ = thread.join();
        }
    }
}

/// Now, in milliseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn hosts(answer: &Value) -> BTreeMap<(String, String), Host> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut hosts = BTreeMap::new();
    for cluster in list(&answer["cluster_statuses"]) {
        let name = cluster["name"].as_str().unwrap_or_default();
        for host in list(&cluster["host_statuses"]) {
            let address = &host["address"]["socket_address"];
            let endpoint = format!("{}:{}", address["address"].as_str().unwrap_or_default(), address["port_value"]);
            hosts.insert((name.to_owned(), endpoint), self::host(&host));
        }
    }
    hosts
}

fn host(host: &Value) -> Host {
    let health = &host["health_status"];
    let mut out = Vec::new();
    if health["failed_outlier_check"] == true {
        out.push(Out::Ejected);
    }
    let is_healthy = matches!(health["eds_health_status"].as_str(), None | Some("HEALTHY" | "UNKNOWN" | "DEGRADED"));
    if health["failed_active_health_check"] == true || !is_healthy {
        out.push(Out::Unhealthy);
    }
    let part = |name: &str| host["locality"][name].as_str().unwrap_or_default();
    let locality = format!("{}/{}/{}", part("region"), part("zone"), part("sub_zone"));
    let requests = list_value(&host["stats"], "rq_total");
    Host { locality: locality.trim_end_matches('/').to_owned(), out, requests }
}

/// A statistic's value, which Envoy writes as text and leaves out when it is 0.
fn list_value(stats: &Value, name: &str) -> u64 {
    let stats = stats.as_array().map(Vec::as_slice).unwrap_or_default();
    let stat = stats.iter().find(|stat| stat["name"] == name);
    stat.and_then(|stat| stat["value"].as_str()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_is_in_rotation_unless_something_is_said_against_it() {
        let answer = |health: Value| {
            json!({ "cluster_statuses": [{ "name": "c", "host_statuses": [{
                "address": { "socket_address": { "address": "127.0.1.1", "port_value": 80 } },
                "locality": { "region": "r", "zone": "z" },
                "stats": [{ "name": "rq_total", "value": "7" }],
                "health_status": health,
            }] }] })
        };
        let key = ("c".to_owned(), "127.0.1.1:80".to_owned());
        let host = |health| hosts(&answer(health)).remove(&key).unwrap();
        let well = Host { locality: "r/z".to_owned(), out: Vec::new(), requests: 7 };
        assert_eq!(host(json!({ "eds_health_status": "HEALTHY" })), well);
        let outs = [
            (json!({ "failed_outlier_check": true }), Out::Ejected),
            (json!({ "eds_health_status": "DRAINING" }), Out::Unhealthy),
            (json!({ "failed_active_health_check": true }), Out::Unhealthy),
        ];
        for (health, out) in outs {
            assert_eq!(host(health).out, [out]);
        }
    }
}
