//! The filter's counts and those of Envoy; docs/metrics.md says which are equal.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use filter_core::metric::Metric;
use lab::envoy::events::Event;
use lab::envoy::metrics::Metrics;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::Locality;
use lab::net::load::Load;
use lab::zones::{CLUSTER, ZONES};
use serde_json::Value;

/// A cluster that never ejects, because its cap does not allow any endpoint to be ejected.
pub(crate) const CAPPED: &str = "outbound|8000||capped.default.svc.cluster.local";
/// A cluster whose name also matches Istio's own rule for the label `cache`.
pub(crate) const CACHE: &str = "outbound|6379||cache.shop.svc.cluster.local";

/// The filter's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    HttpFilter,
    UpstreamLog,
}

/// One of Envoy's statistics for a cluster.
pub(crate) fn own(envoy: &Envoy, cluster: &str, name: &str) -> Result<u64> {
    let stats = envoy.stats(&format!("{name}$"))?;
    let of_cluster = stats.iter().find(|(stat, _)| *stat == format!("cluster.{cluster};.{name}"));
    of_cluster.map(|(_, value)| *value).with_context(|| format!("no {name} of {cluster}: {stats:?}"))
}

/// Envoy's counts for a cluster's endpoints in each locality: successes, errors, requests, failures to connect.
fn counted_by_envoy(envoy: &Envoy, cluster: &str) -> Result<BTreeMap<String, [u64; 4]>> {
    let answer: Value = serde_json::from_str(&envoy.admin("/clusters?format=json")?)?;
    let found = answer["cluster_statuses"].as_array().into_iter().flatten().find(|status| status["name"] == cluster);
    let mut by_locality = BTreeMap::new();
    for host in found.context("the cluster")?["host_statuses"].as_array().into_iter().flatten() {
        let part = |name: &str| host["locality"][name].as_str().unwrap_or_default().to_owned();
        let locality = Locality { region: part("region"), zone: part("zone"), sub_zone: part("sub_zone") };
        let stat = |name: &str| {
            let stat = host["stats"].as_array().into_iter().flatten().find(|stat| stat["name"] == name);
            stat.and_then(|stat| stat["value"].as_str()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let sums: &mut [u64; 4] = by_locality.entry(locality.to_string()).or_default();
        for (sum, name) in sums.iter_mut().zip(["rq_success", "rq_error", "rq_total", "cx_connect_fail"]) {
            *sum += stat(name);
        }
    }
    Ok(by_locality)
}

/// The filter's metrics only.
pub(crate) fn filters(envoy: &Envoy) -> Result<Metrics> {
    Ok(Metrics::parse(&envoy.admin("/stats/prometheus?filter=faultline")?))
}

/// The filter's count as an integer.
pub(crate) fn sum(metrics: &Metrics, metric: Metric, labels: &[(&str, &str)]) -> u64 {
    metrics.sum(metric.name(), labels) as u64
}

/// Differences between the filter's counts and Envoy's; `broken_off` answers started as successes, at home.
pub(crate) fn differences(envoy: &Envoy, load: &Load, position: Position) -> Result<Vec<String>> {
    let (metrics, broken_off) = (filters(envoy)?, load.total.broken);
    let mut differences = Vec::new();
    let mut compare = |what: String, ours: u64, envoys: u64| {
        if ours != envoys {
            differences.push(format!("{what}: {ours} here, {envoys} in Envoy"));
        }
    };
    let mut all = 0;
    for (locality, [success, error, total, connect_fail]) in counted_by_envoy(envoy, CLUSTER)? {
        let at = [("upstream_cluster", CLUSTER), ("upstream_locality", locality.as_str())];
        let of = |outcome: &str| sum(&metrics, Metric::Attempts, &[at[0], at[1], ("outcome", outcome)]);
        let attempts = sum(&metrics, Metric::Attempts, &at);
        let broken_off = if locality == ZONES[0] { broken_off } else { 0 };
        let errors = of("5xx") + of("gateway_error") + of("local_origin");
        compare(format!("{locality}: success and broken off"), of("success") + broken_off, success);
        compare(format!("{locality}: errors but broken off"), errors, error + broken_off);
        compare(format!("{locality}: all"), attempts, success + error);
        compare(format!("{locality}: all but connect failures"), attempts, total + connect_fail);
        all += attempts;
    }
    let [retries, saved, in_vain] =
        ["upstream_rq_retry", "upstream_rq_retry_success", "upstream_rq_retry_limit_exceeded"]
            .map(|name| own(envoy, CLUSTER, name));
    let unserved = own(envoy, CLUSTER, "upstream_cx_none_healthy")?;
    let requests = load.total.total() - unserved;
    compare(
        "attempts by requests".to_owned(),
        all,
        requests + if position == Position::UpstreamLog { retries? } else { 0 },
    );
    let retried = sum(&metrics, Metric::RetriedRequests, &[("upstream_cluster", CLUSTER)]);
    compare("retried requests".to_owned(), retried, saved? + in_vain?);
    for cluster in [CLUSTER, CAPPED, CACHE] {
        let enforced = own(envoy, cluster, "outlier_detection.ejections_enforced_total")?;
        let ours = sum(&metrics, Metric::Ejections, &[("upstream_cluster", cluster)]);
        compare(format!("ejections of {cluster}"), ours, enforced);
    }
    let ejected = envoy.all_ejected()?.len() as u64;
    compare("ejected now".to_owned(), sum(&metrics, Metric::EjectedEndpoints, &[]), ejected);
    Ok(differences)
}

/// The reports of both, in order of time.
pub(crate) fn history(envoy: &Envoy) -> Vec<String> {
    let records = envoy.outlier_records().unwrap_or_default();
    let mut all: Vec<_> =
        records.iter().map(|r| format!("{} Envoy: {:?} {} {}", r.timestamp, r.action, r.endpoint, r.reason)).collect();
    let event = |e: Event| {
        format!("{} filter: {} {} {} {}", e.text("ts"), e.name(), e.text("endpoint"), e.text("reason"), e.text("basis"))
    };
    all.extend(envoy.events().all().into_iter().map(event));
    all.sort();
    all
}
