//! The plugin configuration's types, defaults and ranges.

use super::duration::Duration;
use super::matching::{Ip, Range, matches};
use super::notify::Notify;
use std::fmt;

/// The maximum length of a configuration text, in bytes; a longer one is rejected unread.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Version of the configuration's schema. It increases when a configuration that was valid before would change its
/// meaning; a new field does not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// Clusters that are not an operator's own services: Istio's catch-alls and the proxy's own helpers. They are ignored
/// unless a rule of `clusters` matches them.
pub const SERVICE_CLUSTERS: [&str; 10] = [
    "PassthroughCluster",
    "InboundPassthroughCluster*",
    "BlackHoleCluster",
    "agent",
    "prometheus_stats",
    "sds-grpc",
    "sds-files-grpc",
    "sds-external",
    "xds-grpc",
    "zipkin",
];

/// The configuration of the plugin (`pluginConfig`).
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct Config {
    /// The rules by which Envoy ejects, for clusters that no entry of `clusters` matches.
    pub outlier_detection: OutlierDetection,
    /// Rules by cluster name; the first match wins.
    pub clusters: Vec<ClusterRule>,
    /// Localities by address, for proxies that cannot tell an endpoint's locality (Envoy before 1.34).
    pub localities: Vec<LocalityRule>,
    /// When a shift of traffic to another locality is called a failover.
    pub failover: Failover,
    /// Where to ask Envoy itself about its endpoints; off when absent.
    pub witness: Option<Witness>,
    /// Whom to tell at once of failovers and of clusters without a healthy endpoint; nobody when absent.
    pub notify: Option<Notify>,
    /// Which attempts are counted: each request's last one, or all of them through the router's upstream log.
    pub attempts: Attempts,
    /// Which events are logged; metrics are the same.
    pub events: Events,
    /// How healthy requests are counted.
    pub traffic: Traffic,
    /// Bounds on memory, metric series and log lines.
    pub limits: Limits,
    /// The least severe of the filter's own remarks that are logged; events are not concerned.
    pub log_level: LogLevel,
}

/// How Envoy's outlier detector is set for a cluster: a DestinationRule's `outlierDetection`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct OutlierDetection {
    /// Consecutive 5xx outcomes that eject; 0 is never.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000_000)))]
    pub consecutive5xx_errors: u32,
    /// Consecutive gateway errors (502, 503, 504) that eject; 0 is never.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000_000)))]
    pub consecutive_gateway_errors: u32,
    /// Whether failures to reach the endpoint are counted apart from the answers that it gives.
    pub split_external_local_origin_errors: bool,
    /// Consecutive local-origin failures that eject, in split mode; 0 is never.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000_000)))]
    pub consecutive_local_origin_failures: u32,
    /// How often Envoy looks whether an ejection is over.
    pub interval: Duration,
    /// How long the first ejection lasts; the n-th lasts n times as long.
    pub base_ejection_time: Duration,
    /// The longest an ejection lasts.
    pub max_ejection_time: Duration,
    /// The share of a cluster's endpoints that may be ejected at once, in percent, 0 to 100.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub max_ejection_percent: u32,
    /// With a smaller share of a tier's endpoints in rotation, in percent, Envoy may send requests to ejected ones
    /// (its `healthy_panic_threshold`, 50 where Istio does not set it to this); 0 is never.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub min_health_percent: u32,
}

impl Default for OutlierDetection {
    /// Envoy's defaults, with gateway errors off as Istio has them.
    fn default() -> Self {
        Self {
            consecutive5xx_errors: 5,
            consecutive_gateway_errors: 0,
            split_external_local_origin_errors: false,
            consecutive_local_origin_failures: 5,
            interval: Duration::from_millis(10_000),
            base_ejection_time: Duration::from_millis(30_000),
            max_ejection_time: Duration::from_millis(300_000),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }
    }
}

/// A rule for the clusters whose name matches.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct ClusterRule {
    /// The cluster's name, with `*` for any characters and `?` for one: `outbound|8000||*.prod.svc.cluster.local`.
    #[cfg_attr(feature = "schema", serde(rename = "match"))]
    pub pattern: String,
    /// The outlier detection of these clusters; the top-level one when absent.
    pub outlier_detection: Option<OutlierDetection>,
    /// Whether these clusters are left out altogether.
    pub ignore: bool,
}

/// The locality of the endpoints in a range of addresses.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct LocalityRule {
    /// The range, `10.1.0.0/16` or `fd00:1::/64`.
    pub cidr: String,
    /// The locality, `region/zone/subzone`, trailing parts optional.
    pub locality: String,
}

/// When a shift of traffic is a failover.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct Failover {
    /// The sliding window over which shares of traffic are taken.
    pub window: Duration,
    /// The least number of attempts in the window on which a share is believed.
    pub min_requests: u32,
    /// The share of attempts served away from home that makes a failover, above 0 and up to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.001, max = 1.0)))]
    pub start_share: f64,
    /// How long the share must have been below `startShare` for the failover to be over.
    pub end_after: Duration,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(10_000),
            min_requests: 5,
            start_share: 0.05,
            end_after: Duration::from_millis(10_000),
        }
    }
}

/// Where and how often Envoy's admin interface is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct Witness {
    /// The cluster that reaches the admin interface; `prometheus_stats` in every Istio proxy.
    pub cluster: String,
    /// The shortest time between two questions.
    pub min_interval: Duration,
    /// The longest time between two questions while all is well.
    pub max_interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            cluster: "prometheus_stats".into(),
            min_interval: Duration::from_millis(20),
            max_interval: Duration::from_millis(30_000),
            timeout: Duration::from_millis(1_000),
        }
    }
}

/// Which attempts are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase"))]
pub enum Attempts {
    /// The last attempt of each request, seen by the HTTP filter.
    #[default]
    Final,
    /// Every attempt, seen by the router's upstream log.
    UpstreamLog,
    /// Every attempt that failed, seen by the router's upstream log behind Envoy's own filter; Envoy's counts show the
    /// others, so there is always a witness.
    Failed,
}

/// Which events are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase"))]
pub enum Events {
    /// All of them.
    #[default]
    All,
    /// Without the streak of an endpoint that is ejected for it in the same millisecond.
    Compact,
}

/// How healthy requests are counted while nothing is open. Requests that are not healthy, and all of them while
/// anything is open, are read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct Traffic {
    /// Of the healthy requests beyond the first 20 a second on each worker, one in so many is read whole and counted
    /// for all, 1 to 1,000; 1 is every one. From about 3,000 a second on it is sixteen times fewer. It is the HTTP
    /// filter's (`attempts: final`); the logs show every attempt.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000)))]
    pub sample: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { sample: 16 }
    }
}

/// Bounds. What is beyond them is counted, not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase", default))]
pub struct Limits {
    /// Endpoints that are tracked, over all clusters, 1 to 1,000,000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    pub endpoints: u32,
    /// Metric series that are made, 16 to 1,000,000; Envoy never frees one.
    #[cfg_attr(feature = "schema", schemars(range(min = 16, max = 1_000_000)))]
    pub series: u32,
    /// Events that are logged in a second, 1 to 10,000; the rest is summed up in `events_suppressed`.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub events_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { endpoints: 10_000, series: 5_000, events_per_second: 50 }
    }
}

/// Severity of the filter's own remarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[cfg_attr(feature = "schema", serde(rename_all = "camelCase"))]
#[expect(missing_docs, reason = "the names of log levels")]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// Why a text is not a valid configuration: where, and what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field, as a path such as `clusters[2].outlierDetection.interval`; `.` for the whole text.
    pub path: String,
    /// What came and what was wanted.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path == "." { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, and the fields of its text that are unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The configuration.
    pub config: Config,
    /// Paths of the unknown fields.
    pub unknown_fields: Vec<String>,
}

impl Config {
    /// The rules of a cluster; `None` if the cluster is ignored.
    pub fn rules_for(&self, cluster: &str) -> Option<&OutlierDetection> {
        let matching = self.clusters.iter().find(|rule| matches(&rule.pattern, cluster));
        match matching {
            Some(rule) if rule.ignore => None,
            Some(rule) => Some(rule.outlier_detection.as_ref().unwrap_or(&self.outlier_detection)),
            None if SERVICE_CLUSTERS.iter().any(|name| matches(name, cluster)) => None,
            None => Some(&self.outlier_detection),
        }
    }

    /// The configured locality of an endpoint `ip:port`; `None` if no range contains it.
    pub fn locality_of(&self, endpoint: &str) -> Option<&str> {
        let ip = Ip::of_endpoint(endpoint)?;
        let holds = |rule: &&LocalityRule| Range::parse(&rule.cidr).is_some_and(|range| range.contains(ip));
        self.localities.iter().find(holds).map(|rule| rule.locality.as_str())
    }
}
