//! Tests of the bounds in docs/metrics.md, on the harness: with ten thousand endpoints of a thousand clusters, all
//! failing in every way, the filter's series, its memory and its values in shared data stay within the documented
//! bounds, and it counts what it left out.
//!
//! Envoy never frees a series of a wasm module, so a bound that does not hold costs the proxy memory permanently.

use std::time::Duration;

use crate::on_harness::{HOME, proxy};
use filter_core::endpoint::outcome::Outcome as OutcomeOfAttempt;
use filter_core::metric::{Kind, Metric};
use serde_json::json;
use wasm_harness::{Exchange, Harness, Outcome, Upstream, VmId};

const WORKERS: usize = 4;
const CLUSTERS: usize = 1_000;
const ENDPOINTS: usize = 10_000;
/// The default of `limits.series`.
const SERIES: u32 = 5_000;
/// More than the 64 localities of a cluster that are counted separately.
const LOCALITIES: usize = 70;
/// The memory budget of a VM, in bytes; it is the budget for 100,000 endpoints.
const MEMORY: usize = 16 * 1024 * 1024;

/// A configuration in which the first error ejects and nothing lasts long.
fn config(series: u32) -> String {
    json!({
        "outlierDetection": {
            "splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1, "consecutive5xxErrors": 1,
            "consecutiveGatewayErrors": 1, "interval": "1s", "baseEjectionTime": "2s", "maxEjectionPercent": 100,
        },
        "failover": { "window": "1s", "minRequests": 1, "endAfter": "1s" },
        "limits": { "series": series },
        "traffic": { "sample": 1 },
    })
    .to_string()
}

/// The n-th locality: the first is home, and half of them are in its region.
fn locality(n: usize) -> String {
    match n % LOCALITIES {
        0 => HOME.to_owned(),
        n if n % 2 == 0 => format!("ap-northeast-1/zone-{n}"),
        n => format!("region-{n}/zone-{n}"),
    }
}

fn cluster(n: usize) -> String {
    format!("outbound|8000||service-{:04}.shop.svc.cluster.local", n % CLUSTERS)
}

/// The n-th endpoint, in a different locality from the others of its cluster.
fn endpoint(n: usize) -> Upstream {
    let n = n % ENDPOINTS;
    let of_cluster = ENDPOINTS / CLUSTERS;
    let address = format!("10.{}.{}.{}:8000", n >> 16, n >> 8 & 255, n & 255);
    let within = n / CLUSTERS;
    // Home first, so that there can be a failover from it.
    let at = if within == 0 { HOME.to_owned() } else { locality(n * 7 + within) };
    Upstream::new(&cluster(n), &address).locality(at.as_str()).endpoints(of_cluster as u64)
}

/// Every way in which a request to one endpoint can end, as far as metrics distinguish them.
fn every_end(upstream: &Upstream) -> [Exchange; 7] {
    [
        Exchange::ok(upstream),
        Exchange::status(upstream, 500),
        Exchange::status(upstream, 503),
        Exchange::connect_refused(upstream),
        Exchange::timeout_before_connect(upstream),
        Exchange::no_healthy_upstream(upstream),
        Exchange::ok(upstream).attempts(2),
    ]
}

/// Everything happens to every endpoint, each on a separate worker so that no two share their series.
fn everything_to_all(proxy: &mut Harness) {
    for n in 0..ENDPOINTS {
        let upstream = endpoint(n);
        for exchange in every_end(&upstream) {
            let outcome = proxy.exchange(n % CLUSTERS % WORKERS, &exchange);
            assert_ne!(outcome, Outcome::VmFailed, "endpoint {n}: {exchange:?}");
        }
        if n % 2_500 == 2_499 {
            proxy.advance(Duration::from_secs(1));
        }
    }
    // Ejections and failovers end; that one cluster is empty does not.
    proxy.exchange(0, &Exchange::no_healthy_upstream(&endpoint(0)));
    proxy.advance(Duration::from_secs(4));
}

fn vms() -> impl Iterator<Item = VmId> {
    (0..WORKERS).map(VmId::Worker).chain([VmId::Main])
}

fn memory(proxy: &Harness) -> Vec<usize> {
    vms().map(|vm| proxy.memory_bytes(vm)).collect()
}

/// The number of series that the filter makes regardless of the bound: those that belong to no cluster, with 5 results
/// of the witness's questions and 3 of notifications.
const OWN: usize = 14;

/// The bound of docs/metrics.md.
fn bound(workers: usize, series: u32) -> usize {
    (workers + 1) * series as usize + OWN
}

fn overflow(proxy: &Harness) -> u64 {
    proxy.counter(Metric::SeriesOverflow.name()).unwrap_or(0)
}

#[test]
fn a_thousand_clusters_of_ten_thousand_endpoints_stay_within_the_bounds() {
    let mut proxy = proxy(WORKERS, &config(SERIES));
    everything_to_all(&mut proxy);
    let (series, lost, memory) = (proxy.metrics().len(), overflow(&proxy), memory(&proxy));
    assert!(series <= bound(WORKERS, SERIES), "{series} series");
    // Each worker has used up its limit, so the bound was really tested.
    assert!(series > WORKERS * SERIES as usize - CLUSTERS, "{series} series");
    assert!(lost > 0, "what is left out is counted");
    assert!(memory.iter().all(|bytes| *bytes <= MEMORY), "{memory:?}");
    // There is something of every kind, so nothing was left out.
    let tried = [Metric::Attempts, Metric::RetriedRequests, Metric::ErrorStreaks, Metric::Ejections, Metric::Failovers];
    let gauges = [Metric::EjectedEndpoints, Metric::FailoverActive, Metric::NoHealthyUpstream];
    for metric in tried.iter().chain(&gauges) {
        assert!(proxy.metrics().iter().any(|series| series.name.ends_with(metric.name())), "{}", metric.name());
    }
    for outcome in OutcomeOfAttempt::ALL {
        let part = format!(";.;outcome=.={};.;", outcome.as_str());
        assert!(proxy.metrics().iter().any(|series| series.name.contains(&part)), "{part}");
    }
    // Two values for each cluster, and a few others.
    assert!(proxy.all_shared_data().len() <= 2 * CLUSTERS + 16, "{}", proxy.all_shared_data().len());
    // The filter's own series without labels exist although the limit is reached.
    for metric in Metric::ALL.into_iter().filter(|metric| metric.labels().is_empty() && metric.kind() == Kind::Gauge) {
        assert!(proxy.gauge(metric.name()).is_some_and(|value| value > 0), "{}", metric.name());
    }
    assert!(vms().all(|vm| proxy.failure(vm).is_none()));
}

#[test]
fn a_configuration_is_no_way_to_more_series() {
    let mut proxy = proxy(2, &config(16));
    for round in 0..20 {
        proxy.reconfigure(proxy.root(), config(16 + round % 2)).expect("takes it");
        for n in 0..50 {
            for exchange in every_end(&endpoint(round as usize * 50 + n)) {
                assert_ne!(proxy.exchange(n % 2, &exchange), Outcome::VmFailed);
            }
        }
        proxy.advance(Duration::from_secs(1));
    }
    assert!(proxy.metrics().len() <= bound(2, 17), "{:#?}", proxy.metrics());
    assert!(overflow(&proxy) > 0);
}

#[test]
fn below_the_bound_every_attempt_is_counted_and_localities_beyond_64_as_unknown() {
    let mut proxy = proxy(2, &config(SERIES));
    let at = |n: usize| {
        let address = format!("10.1.0.{n}:8000");
        Upstream::new(&cluster(0), &address).locality(locality(n).as_str()).endpoints(LOCALITIES as u64)
    };
    for round in 0..3 {
        for n in 0..LOCALITIES {
            proxy.exchange(round % 2, &Exchange::ok(&at(n)));
        }
        proxy.advance(Duration::from_secs(2));
    }
    assert_eq!(overflow(&proxy), 0);
    let attempts = |locality: &str| {
        let values = [cluster(0), locality.to_owned(), "success".to_owned()];
        proxy.counter(&Metric::Attempts.stat_name(&values.each_ref().map(String::as_str))).unwrap_or(0)
    };
    let apart: Vec<u64> = (0..LOCALITIES).map(|n| attempts(&locality(n))).collect();
    assert_eq!(apart.iter().sum::<u64>() + attempts("unknown"), 3 * LOCALITIES as u64, "{apart:?}");
    assert!(apart.iter().all(|count| [0, 3].contains(count)), "none is counted as another: {apart:?}");
}
