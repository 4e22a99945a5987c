//! Tests of the metrics in a real Prometheus that scrapes a real Envoy. Each metric exists with its labels, both by
//! Istio's tag rules and by the plain ones; counts that Envoy keeps too are exactly equal; and a reload neither loses
//! nor repeats a count.
//!
//! docs/metrics.md says which counts are equal. The bound on series is tested in `bounds.rs`; alerts and the dashboard
//! have separate tests.

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
use lab::envoy::topology::Endpoint;
use lab::monitoring::prometheus::Prometheus;
use lab::monitoring::webhook::Webhook;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};
use serde_json::{Value, json};

use crate::counts::{CACHE, CAPPED, Position, differences, filters, history, own, sum};

/// A cluster without requests until the limit of series is reached.
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
        "clusters": [
            { "match": CAPPED, "outlierDetection": capped().to_istio() },
            { "match": RECEIVER, "ignore": true },
        ],
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

/// Whether a family is the filter's, even if a label remained in its name; Envoy's own families contain the filter's
/// name as a part.
fn is_of_filter(name: &str) -> bool {
    name.contains("faultline") && !name.starts_with("envoy_") && !name.contains(':')
}

/// Values by name and labels.
type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// The filter's series in Envoy.
fn shown(envoy: &Envoy) -> Result<Series> {
    let samples = filters(envoy)?.0.into_iter().filter(|sample| is_of_filter(&sample.name));
    Ok(samples.map(|sample| ((sample.name, sample.labels), sample.value)).collect())
}

/// The filter's series in Prometheus.
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

/// Every metric exists once, with its kind, its own labels and those of `more` and no others, and each series has a
/// value.
fn check_every_metric(envoy: &Envoy, prometheus: &Prometheus, more: &[&str]) -> Result<()> {
    let series = eventually("Prometheus has what Envoy shows", || {
        let (shown, scraped) = (shown(envoy)?, scraped(prometheus)?);
        Ok((shown == scraped).then_some(scraped))
    })?;
    let names: BTreeSet<&str> = series.keys().map(|(name, _)| name.as_str()).collect();
    // The configured rule is Envoy's.
    let expected = || Metric::ALL.iter().filter(|metric| **metric != Metric::RuleMismatches);
    assert_eq!(names, expected().map(|metric| metric.name()).collect(), "no more and no less");
    let text = envoy.admin("/stats/prometheus")?;
    for metric in expected() {
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

/// An Envoy with an example of everything that the metrics count, and a Prometheus that scrapes it.
struct Mesh {
    // Dropped first, so that Envoy does not see its endpoints disappear.
    envoy: Envoy,
    load: Load,
    prometheus: Prometheus,
    position: Position,
    zones: Zones,
    lonely: Upstream,
    blocked: Upstream,
    // Kept to the end, because an endpoint that stops would be another fault.
    _late: Upstream,
    _webhook: Webhook,
}

impl Mesh {
    fn start(tags: Value, position: Position) -> Result<Self> {
        let zones = Zones::start_at(&[ZONES[0], ZONES[0], ZONES[1], ZONES[2], ZONES[3]])?;
        let [lonely, blocked, late] = ["cache", "capped", "late"].map(Upstream::start);
        let (lonely, blocked, late) = (lonely?, blocked?, late?);
        let webhook = Webhook::start()?;
        let receiver = vec![Endpoint { address: webhook.address(), locality: Zones::home() }];
        // Its own retries, in either position.
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
        let mut bootstrap = Bootstrap::new(&Zones::home(), clusters)
            .with_filter(&Tool::Module.path()?, &config(&attempts_of(position)));
        bootstrap.stats_config = tags;
        bootstrap.filter_in_upstream_log = position == Position::UpstreamLog;
        bootstrap.route_timeout = Some(Duration::from_secs(1));
        let retry_on = "connect-failure,reset,5xx".to_owned();
        bootstrap.retries =
            (position == Position::UpstreamLog).then(|| Retries { retry_on, ..Retries::istio_default() });
        let envoy = Envoy::start(&bootstrap)?;
        let prometheus = Prometheus::start(envoy.admin_address(), None)?;
        let load = envoy.load(HOST, 4)?;
        Ok(Self { envoy, load, prometheus, position, zones, lonely, blocked, _late: late, _webhook: webhook })
    }

    /// The filter's metric of a cluster, as an integer.
    fn metric(&self, metric: Metric, cluster: &str) -> Result<u64> {
        Ok(sum(&filters(&self.envoy)?, metric, &[("upstream_cluster", cluster)]))
    }

    /// Sends requests until Envoy has ejected two more endpoints.
    fn until_two_ejections(&mut self) -> Result<()> {
        let ejections = |envoy: &Envoy| own(envoy, CLUSTER, "outlier_detection.ejections_enforced_total");
        let before = ejections(&self.envoy)?;
        self.load.until("two ejections", |_| ejections(&self.envoy).is_ok_and(|now| now >= before + 2))?;
        Ok(())
    }

    /// Makes the endpoints at home fail in each way, and recover after each.
    fn fail_in_every_way(&mut self) -> Result<()> {
        for failure in FAILURES {
            self.zones.set(&ZONES[..1], failure)?;
            self.until_two_ejections()?;
            self.load.send(20);
            self.zones.set(&ZONES[..1], Behaviour::Answer(200))?;
            let is_over = |metrics: &Metrics| {
                sum(metrics, Metric::EjectedEndpoints, &[]) + sum(metrics, Metric::FailoverActive, &[]) == 0
            };
            let known = |envoy: &Envoy| filters(envoy).is_ok_and(|metrics| is_over(&metrics));
            self.load.until("home is back, and the filter knows", |_| known(&self.envoy))?;
        }
        Ok(())
    }

    /// Delivers new configurations while requests are sent.
    fn reconfigure_under_load(&mut self) -> Result<()> {
        thread::scope(|scope| {
            let sending = scope.spawn(|| self.load.send_at_once(500));
            for version in 0..3 {
                let mut another = attempts_of(self.position);
                another["limits"] = json!({ "endpoints": 1_000 + version });
                self.envoy.reconfigure(&config(&another))?;
            }
            sending.join().map(drop).ok().context("the load")
        })
    }

    /// Removes the only endpoint of one cluster, and makes that of another fail without being ejected.
    fn leave_nothing_and_block(&self) -> Result<()> {
        let mut to_cache = self.envoy.load(CACHE.rsplit('|').next().context("a host")?, 1)?;
        self.lonely.set(Behaviour::Answer(500))?;
        to_cache.until("nothing is left", |_| self.metric(Metric::NoHealthyUpstream, CACHE).is_ok_and(|n| n > 0))?;
        to_cache.send(10);
        self.lonely.set(Behaviour::Answer(200))?;
        to_cache.until("it is back", |tally| tally.status(200) > 0)?;
        assert!(own(&self.envoy, CACHE, "upstream_cx_none_healthy")? >= 10);
        let times = self.metric(Metric::NoHealthyUpstream, CACHE)?;
        assert_eq!(times, 1, "it is told once, however many requests find nothing");
        let mut to_capped = self.envoy.load("capped.default.svc.cluster.local", 1)?;
        self.blocked.set(Behaviour::Answer(500))?;
        to_capped.until("it is blocked", |_| self.metric(Metric::EjectionsBlocked, CAPPED).is_ok_and(|n| n > 0))?;
        Ok(())
    }

    /// Waits until the filter's counts equal Envoy's.
    fn until_counts_are_equal(&self) -> Result<()> {
        let differences = || differences(&self.envoy, &self.load, self.position);
        eventually("the counts are equal", || Ok(differences()?.is_empty().then_some(()))).with_context(|| {
            let left = differences().unwrap_or_default();
            format!("{left:#?}\n{}", history(&self.envoy).join("\n"))
        })
    }

    /// Lowers the limits on series and log lines: known series continue, and new ones are counted as lost.
    fn narrow_the_limits(&mut self) -> Result<()> {
        let mut narrow = attempts_of(self.position);
        narrow["limits"] = json!({ "series": 16, "eventsPerSecond": 1 });
        self.envoy.reconfigure(&config(&narrow))?;
        self.envoy.load("late.default.svc.cluster.local", 4)?.send(40);
        self.zones.set(&ZONES[..1], Behaviour::Answer(500))?;
        self.until_two_ejections()?;
        self.envoy.reconfigure(r#"{"failover": 1}"#)?;
        let own_counts =
            [Metric::SeriesOverflow, Metric::EventsSuppressed, Metric::ConfigRejected, Metric::Notifications];
        eventually("the filter counts what it holds back", || {
            let metrics = filters(&self.envoy)?;
            Ok(own_counts.iter().all(|metric| sum(&metrics, *metric, &[]) > 0).then_some(()))
        })?;
        let late = [("upstream_cluster", LATE)];
        ensure!(filters(&self.envoy)?.matching(Metric::Attempts.name(), &late).next().is_none());
        Ok(())
    }
}

fn attempts_of(position: Position) -> Value {
    json!({ "attempts": if position == Position::UpstreamLog { "upstreamLog" } else { "final" } })
}

/// Produces everything that the metrics count, and compares it with Envoy's counts.
fn story(tags: Value, more: &[&str], position: Position) -> Result<()> {
    let mut mesh = Mesh::start(tags, position)?;
    mesh.fail_in_every_way()?;
    mesh.reconfigure_under_load()?;
    mesh.leave_nothing_and_block()?;
    mesh.until_counts_are_equal()?;
    mesh.narrow_the_limits()?;

    check_every_metric(&mesh.envoy, &mesh.prometheus, more)?;
    let is_counted = |metric: &Metric| metric.kind() == Kind::Counter && *metric != Metric::RuleMismatches;
    for metric in Metric::ALL.into_iter().filter(is_counted) {
        let resets = format!("sum(resets({}[1h]))", metric.name());
        assert_eq!(mesh.prometheus.number(&resets, None)?, Some(0.0), "{resets}");
    }
    let cache = format!("count(count by (upstream_cluster) (faultline_attempts_total{{upstream_cluster='{CACHE}'}}))");
    assert_eq!(mesh.prometheus.number(&cache, None)?, Some(1.0));
    Ok(())
}

#[test]
fn the_upstream_log_counts_attempts_as_envoy_does_and_istios_rules_label_them() -> Result<()> {
    // Istio's own rule for the host of a cache; it does not remove anything.
    story(tags::istio(), &["cache"], Position::UpstreamLog)
}

#[test]
fn the_http_filter_counts_requests_as_envoy_does_and_plain_rules_label_them() -> Result<()> {
    story(tags::plain()?, &[], Position::HttpFilter)
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
    // A custom section of five more bytes, with the name "more": different bytes, and so a different VM.
    let mut bytes = std::fs::read(Tool::Module.path()?)?;
    bytes.extend(b"\0\x05\x04more");
    std::fs::write(&module, bytes)?;
    envoy.replace_module(&module)?;
    load.send(40);
    eventually("Prometheus counts anew", || Ok((prometheus.number(attempts, None)? == Some(40.0)).then_some(())))?;
    assert_eq!(prometheus.number("sum(resets(faultline_attempts_total[1h]))", None)?, Some(1.0));
    Ok(())
}
