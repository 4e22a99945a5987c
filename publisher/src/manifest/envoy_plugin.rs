//! The plugin as Envoy configures it, for the kinds that write Envoy's configuration: EnvoyFilter and Envoy.

use serde_json::{Value, json};

use super::plan::{Plan, ROOT_ID};

/// Envoy's wasm HTTP filter.
pub(crate) const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
/// Envoy's router.
pub(crate) const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
/// The router's name, by which patches find it.
pub(crate) const ROUTER_NAME: &str = "envoy.filters.http.router";
/// Envoy's HTTP connection manager.
pub(crate) const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// The connection manager's name, by which patches find it.
pub(crate) const CONNECTION_MANAGER_NAME: &str = "envoy.filters.network.http_connection_manager";
/// Envoy's wasm access logger.
const ACCESS_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog";

/// The gRPC statuses that count as server errors.
const GRPC_FAILURES: [&str; 5] = ["DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// `PluginConfig`, with the module from `code`. It is the same in every position, so that all of them share one VM on
/// each worker.
pub(crate) fn plugin(plan: &Plan, code: &Value) -> Value {
    let mut plugin = json!({
        "failure_policy": "FAIL_OPEN",
        "name": plan.name,
        "root_id": ROOT_ID,
        "vm_config": {"code": code, "runtime": "envoy.wasm.runtime.v8"},
    });
    if let Some(config) = &plan.config {
        // The plugin receives exactly the bytes of this string.
        let text = format!("{config:#}");
        plugin["configuration"] = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    }
    plugin
}

/// A `code` field that points to a file.
pub(crate) fn file(path: &str) -> Value {
    json!({"local": {"filename": path}})
}

/// The HTTP filter with its plugin.
pub(crate) fn http_filter(plan: &Plan, plugin: &Value) -> Value {
    json!({"name": plan.name, "typed_config": {"@type": WASM, "config": plugin}})
}

/// The router, with this upstream log if one is given.
pub(crate) fn router(upstream_log: Option<Value>) -> Value {
    let mut router = json!({"@type": ROUTER});
    if let Some(log) = upstream_log {
        router["upstream_log"] = json!([log]);
    }
    json!({"name": ROUTER_NAME, "typed_config": router})
}

/// The plugin as an access logger.
pub(crate) fn access_log(plugin: &Value) -> Value {
    json!({"name": "envoy.access_loggers.wasm", "typed_config": {"@type": ACCESS_LOG, "config": plugin}})
}

/// The plugin as a logger of the router's attempts that failed, or ended without an answer.
pub(crate) fn log_of_failed_attempts(plugin: &Value) -> Value {
    let status = |op: &str, value: u32| {
        // Envoy demands the key; nothing sets it.
        let value = json!({"default_value": value, "runtime_key": "faultline.unset"});
        json!({"status_code_filter": {"comparison": {"op": op, "value": value}}})
    };
    let mut log = access_log(plugin);
    // A gRPC error that comes at once has status 200. UNKNOWN is left out: Envoy takes any other answer for it.
    let grpc = json!({"grpc_status_filter": {"statuses": GRPC_FAILURES}});
    let any = [status("GE", 500), status("EQ", 0), json!({"response_flag_filter": {}}), grpc];
    log["filter"] = json!({"or_filter": {"filters": any}});
    log
}

/// The plugin as a logger of the connection manager's requests with any response flag: those that reached no endpoint
/// among them.
pub(crate) fn log_of_failed_requests(plugin: &Value) -> Value {
    let mut log = access_log(plugin);
    log["filter"] = json!({"response_flag_filter": {}});
    log
}
