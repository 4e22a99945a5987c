//! The metrics in a real Prometheus that scrapes a real Envoy: every one is there with its labels, by Istio's tag rules and by the
//! plain ones; what Envoy counts as well is equal to the last one; and a reload neither loses nor repeats a count.
//!
//! docs/metrics.md says what equals what. The bound on series is `bounds.rs`; alerts and the dashboard have tests of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use filter_core::metric::{Kind, Metric};
use lab::endpoints::{Behaviour, Upstream};
use lab::envoy::bootstrap::{Bootstrap, Cluster, Retries};
use lab::envoy::metrics::Metrics;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::tags;
use lab::envoy::topology::{Endpoint, Locality};
use lab::monitoring::prometheus::Prometheus;
use lab::monitoring::webhook::Webhook;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};
use serde_json::{Value, json};

/// A cluster that never ejects, because its cap leaves no endpoint for it.
const CAPPED: &str = "outbound|8000||capped.default.svc.cluster.local";
/// A cluster whose name Istio's own rule for the label `cache` hits, too.
const CACHE: &str = "outbound|6379||cache.shop.svc.cluster.local";
/// A cluster that nobody asks for until the series are used up.
const LATE: &str = "outbound|8000||late.default.svc.cluster.local";
const RECEIVER: &str = "outbound|9093||receiver.monitoring.svc.cluster.local";

/// Ways to fail, one for each outcome of an attempt and more.
const FAILURES: [Behaviour; 6] = [
    Behaviour::Answer(500),
    Behaviour::Answer(503),
    Behaviour::Refuse,
    Behaviour::ResetOnRequest,
    Behaviour::ResetAfterHeaders,
    Behaviour::Hang,
];

fn rules() -> OutlierDetection {
    let (interval, base_ejection_time) = (Duration::from_millis(500), Duration::from_secs(1));
    OutlierDetection { interval, base_ejection_time, ..OutlierDetection::first_error() }
}

fn capped() -> OutlierDetection {
    OutlierDetection { max_ejection_percent: 10, ..rules() }
}

fn config(more: &Value) -> String {
    let mut config = json!({
        "outlierDetection": rules().to_istio(),
        "clusters": [{ "match": CAPPED, "outlierDetection": capped().to_istio() }, { "match": RECEIVER, "ignore": true }],
        "failover": { "window": "2s", "minRequests": 5, "endAfter": "1s" },
        "witness": {},
        "notify": { "cluster": RECEIVER, "format": "webhook" },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config.to_string()
}

fn one(name: &str, upstream: &Upstream, rules: OutlierDetection) -> Cluster {
    Cluster::new(name, vec![Endpoint { address: upstream.address(), locality: Zones::home() }], Some(rules))
}

/// A statistic of Envoy's for a cluster.
fn own(envoy: &Envoy, cluster: &str, name: &str) -> Result<u64> {
    let stats = envoy.stats(&format!("{name}$"))?;
    let of_cluster = stats.iter().find(|(stat, _)| *stat == format!("cluster.{cluster};.{name}"));
    of_cluster.map(|(_, value)| *value).with_context(|| format!("no {name} of {cluster}: {stats:?}"))
}

/// What Envoy counted at a cluster's endpoints in each locality: successes, errors, requests, failures to connect.
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

/// The filter's metrics, without Envoy's many.
fn filters(envoy: &Envoy) -> Result<Metrics> {
    Ok(Metrics::parse(&envoy.admin("/stats/prometheus?filter=faultline")?))
}

/// The filter's count in whole numbers.
fn sum(metrics: &Metrics, metric: Metric, labels: &[(&str, &str)]) -> u64 {
    metrics.sum(metric.name(), labels) as u64
}

/// Where the filter's counts differ from Envoy's; `broken_off` answers began well, at home.
fn differences(envoy: &Envoy, load: &Load, upstream_log: bool) -> Result<Vec<String>> {
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
    compare("attempts by requests".to_owned(), all, requests + if upstream_log { retries? } else { 0 });
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

/// What both said, in the order of time.
fn history(envoy: &Envoy) -> Vec<String> {
    let records = envoy.outlier_records().unwrap_or_default();
    let mut all: Vec<_> =
        records.iter().map(|r| format!("{} Envoy: {:?} {} {}", r.timestamp, r.action, r.endpoint, r.reason)).collect();
    let event = |e: lab::envoy::events::Event| {
        format!("{} filter: {} {} {} {}", e.text("ts"), e.name(), e.text("endpoint"), e.text("reason"), e.text("basis"))
    };
    all.extend(envoy.events().all().into_iter().map(event));
    all.sort();
    all
}

/// Whether a family is the filter's, even if a label stayed in its name; Envoy's own have the filter's name for a part of theirs.
fn is_of_filter(name: &str) -> bool {
    name.contains("faultline") && !name.starts_with("envoy_") && !name.contains(':')
}

/// Values by name and labels.
type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// The filter's series, as Envoy shows them.
fn shown(envoy: &Envoy) -> Result<Series> {
    let samples = filters(envoy)?.0.into_iter().filter(|sample| is_of_filter(&sample.name));
    Ok(samples.map(|sample| ((sample.name, sample.labels), sample.value)).collect())
}

/// The same, as Prometheus has them.
fn scraped(prometheus: &Prometheus) -> Result<Series> {
    let mut all = BTreeMap::new();
    for sample in prometheus.query(r#"{__name__=~".*faultline.*"}"#, None)? {
        let labels = sample["metric"].as_object().context("labels")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut labels: BTreeMap<String, String> = labels.map(|(k, v)| (k.clone(), text(v))).collect();
        let name = labels.remove("__name__").unwrap_or_default();
        if is_of_filter(&name) && labels.remove("job").is_some() && labels.remove("instance").is_some() {
            all.insert((name, labels), text(&sample["value"][1]).parse()?);
        }
    }
    Ok(all)
}

/// Every metric is there, once, of its kind, with its labels and those of `more` only, each with a value.
fn check_every_metric(envoy: &Envoy, prometheus: &Prometheus, more: &[&str]) -> Result<()> {
    let series = eventually("Prometheus has what Envoy shows", || {
        let (shown, scraped) = (shown(envoy)?, scraped(prometheus)?);
        Ok((shown == scraped).then_some(scraped))
    })?;
    let names: BTreeSet<&str> = series.keys().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, Metric::ALL.iter().map(|metric| metric.name()).collect(), "no more and no less");
    let text = envoy.admin("/stats/prometheus")?;
    for metric in Metric::ALL {
        let kind = if metric.kind() == Kind::Counter { "counter" } else { "gauge" };
        let families = text.matches(&format!("# TYPE {} ", metric.name())).count();
        assert_eq!(families, 1, "{}", metric.name());
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name())), "{} is a {kind}", metric.name());
    }
    for (name, labels) in series.keys() {
        let metric = Metric::ALL.into_iter().find(|metric| metric.name() == name).context("a metric")?;
        let labels: BTreeSet<_> = labels.keys().map(String::as_str).filter(|l| !more.contains(l)).collect();
        assert_eq!(labels, metric.labels().iter().copied().collect(), "{name}");
    }
    assert!(series.keys().all(|(_, labels)| labels.values().all(|value| !value.is_empty() && !value.contains("=.="))));
    Ok(())
}

/// One of everything that the metrics count, with what Envoy counted beside it.
fn story(tags: Value, more: &[&str], upstream_log: bool) -> Result<()> {
    let zones = Zones::start_at(&[ZONES[0], ZONES[0], ZONES[1], ZONES[2], ZONES[3]])?;
    let [lonely, blocked, late] = ["cache", "capped", "late"].map(Upstream::start);
    let (lonely, blocked, late) = (lonely?, blocked?, late?);
    let webhook = Webhook::start()?;
    let receiver = vec![Endpoint { address: webhook.address(), locality: Zones::home() }];
    // Retries of its own, in either position.
    let mut never_ejected = one(CAPPED, &blocked, capped());
    let retry_policy = json!({ "retry_on": "5xx", "num_retries": 1 });
    let route = json!({ "cluster": CAPPED, "retry_policy": retry_policy });
    never_ejected.routes = vec![json!({ "match": { "prefix": "/" }, "route": route })];
    let clusters = vec![
        zones.cluster(rules()),
        one(CACHE, &lonely, rules()),
        never_ejected,
        one(LATE, &late, rules()),
        Cluster::new(RECEIVER, receiver, None),
    ];
    let attempts = json!({ "attempts": if upstream_log { "upstreamLog" } else { "final" } });
    let mut bootstrap = Bootstrap::new(&Zones::home(), clusters).with_filter(&Tool::Module.path()?, &config(&attempts));
    bootstrap.stats_config = tags;
    bootstrap.filter_in_upstream_log = upstream_log;
    bootstrap.route_timeout = Some(Duration::from_secs(1));
    let retry_on = "connect-failure,reset,5xx".to_owned();
    bootstrap.retries = upstream_log.then(|| Retries { retry_on, ..Retries::istio_default() });
    let mut envoy = Envoy::start(&bootstrap)?;
    let prometheus = Prometheus::start(envoy.admin_address(), None)?;

    let mut load = envoy.load(HOST, 4)?;
    let ejections = |envoy: &Envoy| own(envoy, CLUSTER, "outlier_detection.ejections_enforced_total");
    for failure in FAILURES {
        zones.set(&ZONES[..1], failure)?;
        let before = ejections(&envoy)?;
        load.until("two ejections", |_| ejections(&envoy).is_ok_and(|now| now >= before + 2))?;
        load.send(20);
        zones.set(&ZONES[..1], Behaviour::Answer(200))?;
        let is_over = |metrics: &Metrics| {
            sum(metrics, Metric::EjectedEndpoints, &[]) + sum(metrics, Metric::FailoverActive, &[]) == 0
        };
        load.until("home is back, and the filter knows", |_| filters(&envoy).is_ok_and(|metrics| is_over(&metrics)))?;
    }
    // A new configuration comes while requests do.
    thread::scope(|scope| {
        let sending = scope.spawn(|| load.send_at_once(500));
        for version in 0..3 {
            let mut another = attempts.clone();
            another["limits"] = json!({ "endpoints": 1_000 + version });
            envoy.reconfigure(&config(&another))?;
        }
        sending.join().map(drop).ok().context("the load")
    })?;

    let metrics = |name: Metric, cluster: &str| -> Result<u64> {
        Ok(sum(&filters(&envoy)?, name, &[("upstream_cluster", cluster)]))
    };
    let mut to_cache = envoy.load(CACHE.rsplit('|').next().context("a host")?, 1)?;
    lonely.set(Behaviour::Answer(500))?;
    to_cache.until("nothing is left", |_| metrics(Metric::NoHealthyUpstream, CACHE).is_ok_and(|n| n > 0))?;
    to_cache.send(10);
    lonely.set(Behaviour::Answer(200))?;
    to_cache.until("it is back", |tally| tally.status(200) > 0)?;
    assert!(own(&envoy, CACHE, "upstream_cx_none_healthy")? >= 10);
    assert_eq!(metrics(Metric::NoHealthyUpstream, CACHE)?, 1, "it is told once, however many requests find nothing");
    let mut to_capped = envoy.load("capped.default.svc.cluster.local", 1)?;
    blocked.set(Behaviour::Answer(500))?;
    to_capped.until("it is blocked", |_| metrics(Metric::EjectionsBlocked, CAPPED).is_ok_and(|n| n > 0))?;

    let equal = || Ok(differences(&envoy, &load, upstream_log)?.is_empty().then_some(()));
    eventually("the counts are equal", equal).with_context(|| {
        let left = differences(&envoy, &load, upstream_log).unwrap_or_default();
        format!("{left:#?}\n{}", history(&envoy).join("\n"))
    })?;

    // Few series and few lines from now on: what is known goes on, what is new is counted as lost.
    let mut narrow = attempts.clone();
    narrow["limits"] = json!({ "series": 16, "eventsPerSecond": 1 });
    envoy.reconfigure(&config(&narrow))?;
    envoy.load("late.default.svc.cluster.local", 4)?.send(40);
    zones.set(&ZONES[..1], Behaviour::Answer(500))?;
    let before = ejections(&envoy)?;
    load.until("two ejections", |_| ejections(&envoy).is_ok_and(|now| now >= before + 2))?;
    envoy.reconfigure(r#"{"failover": 1}"#)?;
    let own_counts = [Metric::SeriesOverflow, Metric::EventsSuppressed, Metric::ConfigRejected, Metric::Notifications];
    eventually("the filter counts what it holds back", || {
        let metrics = filters(&envoy)?;
        Ok(own_counts.iter().all(|metric| sum(&metrics, *metric, &[]) > 0).then_some(()))
    })?;
    ensure!(filters(&envoy)?.matching(Metric::Attempts.name(), &[("upstream_cluster", LATE)]).next().is_none());
    check_every_metric(&envoy, &prometheus, more)?;
    for metric in Metric::ALL.into_iter().filter(|metric| metric.kind() == Kind::Counter) {
        let resets = format!("sum(resets({}[1h]))", metric.name());
        assert_eq!(prometheus.number(&resets, None)?, Some(0.0), "{resets}");
    }
    let cache = format!("count(count by (upstream_cluster) (faultline_attempts_total{{upstream_cluster='{CACHE}'}}))");
    assert_eq!(prometheus.number(&cache, None)?, Some(1.0));
    Ok(())
}

#[test]
fn the_upstream_log_counts_attempts_as_envoy_does_and_istios_rules_label_them() -> Result<()> {
    // Istio's own rule for the host of a cache; it takes nothing away.
    story(tags::istio(), &["cache"], true)
}

#[test]
fn the_http_filter_counts_requests_as_envoy_does_and_plain_rules_label_them() -> Result<()> {
    story(tags::plain()?, &[], false)
}

#[test]
fn a_new_module_starts_over() -> Result<()> {
    let zones = Zones::start()?;
    let bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules())])
        .with_filter(&Tool::Module.path()?, &json!({ "outlierDetection": rules().to_istio() }).to_string());
    let mut envoy = Envoy::start(&bootstrap)?;
    let prometheus = Prometheus::start(envoy.admin_address(), None)?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(100);
    let attempts = "sum(faultline_attempts_total)";
    eventually("Prometheus counts", || Ok((prometheus.number(attempts, None)? == Some(100.0)).then_some(())))?;
    let dir = tempfile::tempdir()?;
    let module = dir.path().join("other.wasm");
    // A custom section of five bytes more, with the name "more": other bytes, so another VM.
    let mut bytes = std::fs::read(Tool::Module.path()?)?;
    bytes.extend(b"\0\x05\x04more");
    std::fs::write(&module, bytes)?;
    envoy.replace_module(&module)?;
    load.send(40);
    eventually("Prometheus counts anew", || Ok((prometheus.number(attempts, None)? == Some(40.0)).then_some(())))?;
    assert_eq!(prometheus.number("sum(resets(faultline_attempts_total[1h]))", None)?, Some(1.0));
    Ok(())
}
