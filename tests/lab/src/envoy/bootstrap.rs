//! Envoy's bootstrap, made from what matters to a test: the proxy's locality, its clusters, and its filter.
//!
//! As far as the filter can see, it is the bootstrap of a sidecar in a mesh: Istio's cluster names, priorities by
//! locality, no panic threshold, default retries, statistics tags, the filter delivered by extension discovery (so that
//! its configuration can change while Envoy runs) with an empty VM id and failing open, and a cluster
//! `prometheus_stats` that is Envoy's own admin interface. Not here: TLS, DNS, active health checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::envoy::attempts;
use crate::envoy::edit::Edits;
use crate::envoy::outlier::{OutlierDetection, seconds};
use crate::envoy::sources::Sources;
use crate::envoy::tags;
use crate::envoy::topology::{EdsHealth, Endpoint, Locality, prioritised, socket_address};

/// The name under which Istio would deliver the filter.
pub const FILTER_NAME: &str = "extensions.istio.io/wasmplugin/istio-system.faultline";

/// `re2.max_program_size.error_level` in the bootstrap that Istio's agent writes.
const ISTIO_EXPRESSION_LIMIT: u32 = 32_768;

/// A cluster of endpoints.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name, in Istio's form `outbound|<port>|<subset>|<host>`; requests with that authority go to it.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Its outlier detection, if any.
    pub outlier_detection: Option<OutlierDetection>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Whether Envoy gets the endpoints by discovery, so that they can change while it runs:
    /// [`crate::envoy::proxy::Envoy::set_endpoints`]. Otherwise they are fixed.
    pub discovered: bool,
    /// What the control plane says of endpoints that are not healthy.
    pub health: BTreeMap<SocketAddr, EdsHealth>,
    /// Further fields of Envoy's `config.cluster.v3.Cluster`; they replace those that are derived here.
    pub more: Map<String, Value>,
    /// Envoy's `config.route.v3.Route`s that are tried before the catch-all route.
    pub routes: Vec<Value>,
    /// Further fields of the catch-all route's `config.route.v3.RouteAction`.
    pub route_action: Map<String, Value>,
}

impl Cluster {
    /// A cluster with Istio's connect timeout.
    pub fn new(name: &str, endpoints: Vec<Endpoint>, outlier_detection: Option<OutlierDetection>) -> Self {
        Self {
            name: name.to_owned(),
            endpoints,
            outlier_detection,
            connect_timeout: Duration::from_secs(10),
            discovered: false,
            health: BTreeMap::new(),
            more: Map::new(),
            routes: Vec::new(),
            route_action: Map::new(),
        }
    }

    /// The host part of the name.
    pub fn host(&self) -> &str {
        self.name.rsplit('|').next().unwrap_or(&self.name)
    }

    /// The file that delivers the endpoints by discovery.
    pub(crate) fn discovery(&self, home: &Locality) -> Value {
        json!({ "resources": [{
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": self.name,
            "endpoints": prioritised(home, &self.endpoints, &self.health),
        }] })
    }

    fn to_envoy(&self, home: &Locality, dir: &Path, sources: Sources) -> Value {
        let mut cluster = json!({
            "name": self.name,
            "alt_stat_name": format!("{};", self.name),
            "type": "STATIC",
            "connect_timeout": seconds(self.connect_timeout),
            "common_lb_config": { "healthy_panic_threshold": { "value": 0 } },
        });
        if self.discovered {
            cluster["type"] = json!("EDS");
            cluster["eds_cluster_config"] = json!({ "eds_config": sources.config_source(&endpoints_file(dir, self)) });
        } else {
            let endpoints = prioritised(home, &self.endpoints, &self.health);
            cluster["load_assignment"] = json!({ "cluster_name": self.name, "endpoints": endpoints });
        }
        if let Some(outlier_detection) = &self.outlier_detection {
            cluster["outlier_detection"] = outlier_detection.to_envoy();
        }
        for (field, value) in &self.more {
            cluster[field] = value.clone();
        }
        cluster
    }
}

/// A wasm module as an HTTP filter.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The module's file.
    pub module: PathBuf,
    /// The plugin's configuration, passed on unchanged: valid or not.
    pub config: String,
}

impl Filter {
    /// The content of the file that delivers the filter by extension discovery; `version` must differ from the one
    /// before.
    pub fn discovery(&self, version: u32) -> Value {
        json!({
            "version_info": version.to_string(),
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": FILTER_NAME,
                "typed_config": { "@type": WASM, "config": self.plugin() },
            }],
        })
    }

    /// As an HTTP filter that is not delivered by discovery.
    pub fn http_filter(&self, name: &str) -> Value {
        json!({ "name": name, "typed_config": { "@type": WASM, "config": self.plugin() } })
    }

    /// The plugin is the same in every position, so that all of them share one VM on each worker.
    fn plugin(&self) -> Value {
        let mut config = json!({
            "name": "istio-system.faultline",
            "root_id": "faultline",
            "failure_policy": "FAIL_OPEN",
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": self.module } },
            },
        });
        if !self.config.is_empty() {
            config["configuration"] =
                json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": self.config });
        }
        config
    }

    /// An access logger for what passes this filter of Envoy.
    fn failure_logger(&self, filter: &Value) -> Value {
        let mut logger = self.access_logger();
        logger["filter"] = filter.clone();
        logger
    }

    fn access_logger(&self) -> Value {
        let logger = "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog";
        json!({
            "name": "envoy.access_loggers.wasm",
            "typed_config": { "@type": logger, "config": self.plugin() },
        })
    }
}

/// Envoy's filter for attempts that failed, or ended without an answer.
fn failed_attempts() -> Value {
    let status = |op: &str, value: u32| {
        json!({ "status_code_filter": { "comparison": { "op": op, "value": {
            "default_value": value,
            "runtime_key": "faultline.unset",
        } } } })
    };
    let grpc = ["DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
    let flags = json!({ "response_flag_filter": {} });
    let grpc = json!({ "grpc_status_filter": { "statuses": grpc } });
    json!({ "or_filter": { "filters": [status("GE", 500), status("EQ", 0), flags, grpc] } })
}

/// A route's retries.
#[derive(Clone, Debug)]
pub struct Retries {
    /// Further attempts after the first.
    pub attempts: u32,
    /// Envoy's `retry_on`.
    pub retry_on: String,
    /// How long each attempt may take, if there is a limit of its own.
    pub per_try_timeout: Option<Duration>,
}

impl Retries {
    /// Istio's retries for a route that does not set any: a plain 503 is not retried, a failure to connect is.
    pub fn istio_default() -> Self {
        let retry_on = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
        Self { attempts: 2, retry_on: retry_on.to_owned(), per_try_timeout: None }
    }

    fn to_envoy(&self) -> Value {
        let previous_hosts = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
        let mut policy = json!({
            "num_retries": self.attempts,
            "retry_on": self.retry_on,
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": { "@type": previous_hosts },
            }],
            "host_selection_retry_max_attempts": 5,
        });
        if let Some(timeout) = self.per_try_timeout {
            policy["per_try_timeout"] = json!(seconds(timeout));
        }
        policy
    }
}

/// The configuration of one Envoy.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The proxy's locality, from which the control plane derives priorities.
    pub home: Locality,
    /// Whether the proxy does not know its locality: `node.locality` is empty.
    pub hides_home: bool,
    /// Listeners, all alike but for their names and addresses; at least one.
    pub listeners: usize,
    /// Worker threads.
    pub workers: u32,
    /// The clusters, each with a route.
    pub clusters: Vec<Cluster>,
    /// Whether Envoy gets the clusters by discovery, so that they can change while it runs:
    /// [`crate::envoy::proxy::Envoy::set_clusters`]. Routes are fixed.
    pub clusters_discovered: bool,
    /// The source of discovery.
    pub sources: Sources,
    /// The target of the cluster `prometheus_stats`, if not the admin interface itself.
    pub witness_through: Option<SocketAddr>,
    /// Envoy's `stats_config`: which parts of a statistic's name become labels. Istio's by default, see [`tags`].
    pub stats_config: Value,
    /// The filter, if any.
    pub filter: Option<Filter>,
    /// Retries of every route, if any.
    pub retries: Option<Retries>,
    /// How long a request may take; `None`, the default in Istio, is no limit.
    pub route_timeout: Option<Duration>,
    /// The level of Envoy's log; `warning` is Istio's.
    pub log_level: String,
    /// Whether the filter is the router's upstream log as well, where it sees every attempt.
    pub filter_in_upstream_log: bool,
    /// Whether the filter is nowhere but in the logs, behind Envoy's own filter for failures.
    pub is_lean: bool,
    /// Whether Envoy takes regular expressions as long as Istio's proxies do, instead of about one name.
    pub takes_long_expressions: bool,
    /// Whether Envoy writes a line for each attempt and each request to a separate file; see
    /// [`crate::envoy::attempts`].
    pub record_attempts: bool,
    /// What is changed in the bootstrap at the end.
    pub edits: Edits,
    /// The Envoy to start; if absent, the one that set-up installed for the tests.
    pub program: Option<PathBuf>,
}

impl Bootstrap {
    /// A proxy at `home` with two workers, no retries and no filter.
    pub fn new(home: &Locality, clusters: Vec<Cluster>) -> Self {
        Self {
            home: home.clone(),
            hides_home: false,
            listeners: 1,
            workers: 2,
            clusters,
            clusters_discovered: false,
            sources: Sources::Files,
            witness_through: None,
            stats_config: tags::istio(),
            filter: None,
            retries: None,
            route_timeout: None,
            log_level: "warning".to_owned(),
            filter_in_upstream_log: false,
            is_lean: false,
            takes_long_expressions: false,
            record_attempts: false,
            edits: Edits::default(),
            program: None,
        }
    }

    /// Adds this filter.
    #[must_use]
    pub fn with_filter(mut self, module: &Path, config: &str) -> Self {
        self.filter = Some(Filter { module: module.to_owned(), config: config.to_owned() });
        self
    }

    /// The content of the file that delivers the clusters by discovery, to an Envoy that keeps its files in `dir`.
    pub(crate) fn discovery(&self, dir: &Path) -> Value {
        let kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
        let typed = |cluster: &Cluster| {
            let mut cluster = cluster.to_envoy(&self.home, dir, self.sources);
            cluster["@type"] = json!(kind);
            cluster
        };
        json!({ "resources": self.clusters.iter().map(typed).collect::<Vec<_>>() })
    }

    /// The bootstrap for Envoy, which listens on `listeners` and `admin`, and keeps its files in `dir`.
    pub(crate) fn to_envoy(&self, listeners: &[SocketAddr], admin: SocketAddr, dir: &Path) -> Value {
        let mut clusters: Vec<Value> = Vec::new();
        let mut dynamic = json!({});
        if self.clusters_discovered {
            dynamic["cds_config"] = self.sources.config_source(&clusters_file(dir));
        } else {
            clusters.extend(self.clusters.iter().map(|c| c.to_envoy(&self.home, dir, self.sources)));
        }
        clusters.extend(self.sources.cluster());
        let witness = self.witness_through.unwrap_or(admin);
        clusters.push(json!({
            "name": "prometheus_stats",
            "type": "STATIC",
            "connect_timeout": "0.250s",
            "load_assignment": { "cluster_name": "prometheus_stats", "endpoints": [{
                "lb_endpoints": [{ "endpoint": { "address": socket_address(witness) } }],
            }] },
        }));
        let locality = if self.hides_home { json!({}) } else { self.home.to_envoy() };
        let mut runtime = json!({});
        if self.takes_long_expressions {
            runtime["re2.max_program_size.error_level"] = json!(ISTIO_EXPRESSION_LIMIT);
        }
        let listeners = listeners.iter().enumerate().map(|(index, address)| self.listener(index, *address, dir));
        self.edits.apply(json!({
            "node": {
                "id": "sidecar~127.0.0.1~mocka.default~default.svc.cluster.local",
                "cluster": "mocka.default",
                "locality": locality,
            },
            "admin": { "address": socket_address(admin) },
            "stats_config": self.stats_config,
            "layered_runtime": { "layers": [{ "name": "static", "static_layer": runtime }] },
            "cluster_manager": { "outlier_detection": { "event_log_path": outlier_log(dir) } },
            "dynamic_resources": dynamic,
            "static_resources": {
                "clusters": clusters,
                "listeners": listeners.collect::<Vec<_>>(),
            },
        }))
    }

    fn listener(&self, index: usize, address: SocketAddr, dir: &Path) -> Value {
        let number = if index == 0 { String::new() } else { (index + 1).to_string() };
        json!({
            "name": format!("virtualOutbound{number}"),
            "address": socket_address(address),
            // Connections are distributed evenly, so that every worker has traffic in every test.
            "connection_balance_config": { "exact_balance": {} },
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": self.connection_manager(dir),
            }] }],
        })
    }

    fn connection_manager(&self, dir: &Path) -> Value {
        let mut filters = Vec::new();
        if self.filter.is_some() && !self.is_lean {
            let source = self.sources.config_source(&filter_file(dir));
            filters.push(json!({
                "name": FILTER_NAME,
                "config_discovery": { "config_source": source, "type_urls": [WASM] },
            }));
        }
        let mut upstream_logs = Vec::new();
        if let Some(filter) = self.filter.as_ref().filter(|_| self.filter_in_upstream_log) {
            upstream_logs.push(filter.access_logger());
        }
        let mut access_logs = Vec::new();
        if let Some(filter) = self.filter.as_ref().filter(|_| self.is_lean) {
            upstream_logs.push(filter.failure_logger(&failed_attempts()));
            access_logs.push(filter.failure_logger(&json!({ "response_flag_filter": {} })));
        }
        if self.record_attempts {
            upstream_logs.push(attempts::attempt_logger(dir));
            access_logs.push(attempts::request_logger(dir));
        }
        let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
        let router = json!({ "@type": router, "upstream_log": upstream_logs });
        filters.push(json!({ "name": "envoy.filters.http.router", "typed_config": router }));
        let hosts: Vec<Value> = self.clusters.iter().map(|c| self.virtual_host(c)).collect();
        let manager =
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        json!({
            "@type": manager,
            "stat_prefix": "outbound_0.0.0.0_8000;",
            "http_filters": filters,
            "access_log": access_logs,
            "upgrade_configs": [{ "upgrade_type": "websocket" }],
            // Callers with such an address in `x-forwarded-for` may set Envoy's own headers.
            "internal_address_config": { "cidr_ranges": [{ "address_prefix": "127.0.0.0", "prefix_len": 8 }] },
            "route_config": {
                "name": "8000",
                "virtual_hosts": hosts,
                "validate_clusters": !self.clusters_discovered,
            },
        })
    }

    fn virtual_host(&self, cluster: &Cluster) -> Value {
        let mut route =
            json!({ "cluster": cluster.name, "timeout": seconds(self.route_timeout.unwrap_or(Duration::ZERO)) });
        if let Some(retries) = &self.retries {
            route["retry_policy"] = retries.to_envoy();
        }
        for (field, value) in &cluster.route_action {
            route[field] = value.clone();
        }
        let mut routes = cluster.routes.clone();
        routes.push(json!({ "name": "default", "match": { "prefix": "/" }, "route": route }));
        json!({ "name": format!("{}:8000", cluster.host()), "domains": [cluster.host()], "routes": routes })
    }
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The file in `dir` that delivers the filter.
pub(crate) fn filter_file(dir: &Path) -> PathBuf {
    dir.join("filter.json")
}

/// The file in `dir` that delivers the clusters.
pub(crate) fn clusters_file(dir: &Path) -> PathBuf {
    dir.join("clusters.json")
}

/// The file in `dir` that delivers the cluster's endpoints.
pub(crate) fn endpoints_file(dir: &Path, cluster: &Cluster) -> PathBuf {
    dir.join(format!("{}.json", cluster.host()))
}

/// The file in `dir` to which Envoy writes its outlier events.
pub(crate) fn outlier_log(dir: &Path) -> PathBuf {
    dir.join("outlier.log")
}
