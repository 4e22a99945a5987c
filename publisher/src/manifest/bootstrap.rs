//! Writes a bootstrap for an Envoy without a mesh: small but complete, so that Envoy loads it unchanged.
//!
//! Faultline's parts are the filter, the router's upstream log, the cluster through which the witness asks Envoy's
//! admin interface, and the rules that turn parts of the statistics' names into labels. The rest is one listener and
//! one service in two zones, for the user to replace. `deploy/envoy/bootstrap.yaml` is the same with an explanation at
//! each part.

use filter_core::config::Duration;
use filter_core::config::{self, Config, OutlierDetection};
use serde_json::{Value, json};

use super::envoy_plugin::{self, CONNECTION_MANAGER, CONNECTION_MANAGER_NAME};
use super::kind::FilterPosition;
use super::plan::Plan;
use super::stats;

/// The cluster that leads to the admin interface, unless the configuration names another.
pub(crate) const WITNESS: &str = "envoy_admin";
/// The port of the admin interface.
pub(crate) const ADMIN_PORT: u16 = 9901;

/// The name of the example service.
const BACKEND: &str = "backend";

/// The bootstrap, which loads the module from the file `path`.
///
/// # Errors
/// When the plan's configuration is invalid.
pub(crate) fn bootstrap(plan: &Plan, path: &str, position: FilterPosition) -> anyhow::Result<Value> {
    let text = plan.config.as_ref().map(Value::to_string).unwrap_or_default();
    let mut understood = config::parse(text.as_bytes())?.config;
    if plan.config.as_ref().is_none_or(|config| config["outlierDetection"].is_null()) {
        // Envoy's default cap of 10 percent would never eject one of two endpoints.
        understood.outlier_detection.max_ejection_percent = 100;
    }
    let config = envoy_plugin::plugin(plan, &envoy_plugin::file(path));
    let filter = envoy_plugin::http_filter(plan, &config);
    let (filters, access_log) = match position {
        FilterPosition::Http => (vec![filter, envoy_plugin::router(None)], None),
        FilterPosition::UpstreamLog => {
            (vec![filter, envoy_plugin::router(Some(envoy_plugin::access_log(&config)))], None)
        }
        FilterPosition::Lean => {
            let failed = envoy_plugin::log_of_failed_attempts(&config);
            (vec![envoy_plugin::router(Some(failed))], Some(json!([envoy_plugin::log_of_failed_requests(&config)])))
        }
    };
    let mut manager = json!({
        "@type": CONNECTION_MANAGER,
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{
            "domains": ["*"],
            "name": BACKEND,
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": BACKEND}}],
        }]},
        "stat_prefix": "outbound",
    });
    if let Some(access_log) = access_log {
        manager["access_log"] = access_log;
    }
    let listener = json!({
        "address": address("127.0.0.1", 10_000),
        "filter_chains": [{"filters": [{"name": CONNECTION_MANAGER_NAME, "typed_config": manager}]}],
        "name": "outbound",
    });
    Ok(json!({
        "admin": {"address": address("127.0.0.1", ADMIN_PORT)},
        // The witness names many clusters at once; Envoy's own limit is one or two names.
        "layered_runtime": {"layers": [
            {"name": "static", "static_layer": {"re2.max_program_size.error_level": 32_768}},
        ]},
        "node": {
            "cluster": "caller",
            "id": "caller-1",
            "locality": {"region": "ap-northeast-1", "zone": "ap-northeast-1a"},
        },
        "static_resources": {"clusters": [backend(&understood), witness(&understood)], "listeners": [listener]},
        "stats_config": {"stats_tags": stats::rules()},
    }))
}

/// A service in two zones whose outlier detection has the thresholds that the configuration has, if it has any.
fn backend(config: &Config) -> Value {
    let zone = |priority: u8, letter: char| {
        json!({
            "lb_endpoints": [{"endpoint": {"address": address(&format!("backend-{letter}.example.com"), 8_000)}}],
            "locality": {"region": "ap-northeast-1", "zone": format!("ap-northeast-1{letter}")},
            "priority": priority,
        })
    };
    let mut cluster = json!({
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": BACKEND, "endpoints": [zone(0, 'a'), zone(1, 'b')]},
        "name": BACKEND,
        "type": "STRICT_DNS",
    });
    if let Some(rules) = config.rules_for(BACKEND) {
        cluster["common_lb_config"] = json!({"healthy_panic_threshold": {"value": rules.min_health_percent}});
        cluster["outlier_detection"] = outlier_detection(rules);
    }
    cluster
}

/// Translates Istio's field names and meanings to Envoy's. A threshold of 0 becomes "does not eject"; the success-rate
/// detectors, which Istio turns off, stay off.
fn outlier_detection(rules: &OutlierDetection) -> Value {
    let enforcing = |threshold: u32| if threshold > 0 { 100 } else { 0 };
    let seconds = |time: Duration| format!("{}s", time.millis() as f64 / 1e3);
    json!({
        "base_ejection_time": seconds(rules.base_ejection_time),
        "consecutive_5xx": rules.consecutive5xx_errors,
        "consecutive_gateway_failure": rules.consecutive_gateway_errors,
        "consecutive_local_origin_failure": rules.consecutive_local_origin_failures,
        "enforcing_consecutive_5xx": enforcing(rules.consecutive5xx_errors),
        "enforcing_consecutive_gateway_failure": enforcing(rules.consecutive_gateway_errors),
        "enforcing_consecutive_local_origin_failure": enforcing(rules.consecutive_local_origin_failures),
        "enforcing_local_origin_success_rate": 0,
        "enforcing_success_rate": 0,
        "interval": seconds(rules.interval),
        "max_ejection_percent": rules.max_ejection_percent,
        "max_ejection_time": seconds(rules.max_ejection_time),
        "split_external_local_origin_errors": rules.split_external_local_origin_errors,
    })
}

/// The admin interface as a cluster, under the name that the configuration gives.
fn witness(config: &Config) -> Value {
    let name = config.witness.as_ref().map_or(WITNESS, |witness| &witness.cluster);
    let endpoint = json!({"endpoint": {"address": address("127.0.0.1", ADMIN_PORT)}});
    json!({
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "name": name,
        "type": "STATIC",
    })
}

fn address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}
