//! Istio's EnvoyFilter: the HTTP filter by extension discovery, or the router's upstream log, whole or behind Envoy's
//! own filter for failures.
//!
//! There are two ways because different parties fetch the module. What extension discovery (ECDS) delivers passes
//! through Istio's agent, which pulls `oci://` and puts a file in its place. An access logger is part of the listener,
//! which the agent passes on unchanged, and Envoy cannot read `oci://`. There the module must be a file mounted into
//! the proxy's container. The HTTP filter then uses the same file, so that both share one VM.
//!
//! Two things are left out. Envoy's own fetch by http is marked unstable in Envoy's log and needs a separate cluster.
//! Waypoints are reached by WasmPlugin and TrafficExtension in every Istio, by an EnvoyFilter in recent ones only.

use anyhow::Context;
use serde_json::{Value, json};

use super::envoy_plugin::{self, CONNECTION_MANAGER, CONNECTION_MANAGER_NAME, ROUTER_NAME, WASM};
use super::plan::{Plan, Target, fields};
use crate::reference::RegistryRef;

/// The filter that the agent delivers instead if the plugin could not be pulled. Without rules it lets every request
/// pass.
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
/// How long the agent may take to pull; istiod uses the same value for a WasmPlugin.
const FETCH: &str = "30s";

/// The HTTP filter, pulled by Istio's agent.
///
/// # Errors
/// Without a digest: Envoy's `RemoteDataSource` requires one.
pub(crate) fn by_discovery(plan: &Plan, image: &RegistryRef) -> anyhow::Result<Value> {
    let digest = plan.digest.as_ref().context(
        "an EnvoyFilter must have the digest, which Envoy's configuration demands: leave --offline off, or write REF \
            as registry/repo:tag@sha256:…",
    )?;
    let http_uri = json!({"cluster": "_", "timeout": FETCH, "uri": plan.url(image)});
    let config = envoy_plugin::plugin(plan, &json!({"remote": {"http_uri": http_uri, "sha256": digest.hex()}}));
    // A TypedStruct, because the agents of all versions look into one.
    let typed_struct = "type.googleapis.com/udpa.type.v1.TypedStruct";
    let typed_config = json!({"@type": typed_struct, "type_url": WASM, "value": {"config": config}});
    let resource = json!({"name": plan.name, "typed_config": typed_config});
    let source = json!({"ads": {}, "initial_fetch_timeout": FETCH, "resource_api_version": "V3"});
    let discovery = json!({
        "config_source": source,
        // If the resource does not arrive in time, requests go on without the plugin; without a default they would get
        // a 500.
        "default_config": {"@type": RBAC},
        "type_urls": [WASM, RBAC],
    });
    let mut patches = vec![json!({
        "applyTo": "EXTENSION_CONFIG",
        "match": {"context": "ANY"},
        "patch": {"operation": "ADD", "value": resource},
    })];
    patches.extend(at_router(plan, "INSERT_BEFORE", &json!({"name": plan.name, "config_discovery": discovery})));
    Ok(resource_of(plan, patches))
}

/// The upstream log and the HTTP filter, both loaded from a file.
pub(crate) fn upstream_log(plan: &Plan, path: &str) -> Value {
    let config = envoy_plugin::plugin(plan, &envoy_plugin::file(path));
    let mut patches = at_router(plan, "INSERT_BEFORE", &envoy_plugin::http_filter(plan, &config));
    // Merged into the router's own configuration, so an existing log stays.
    patches.extend(at_router(plan, "MERGE", &envoy_plugin::router(Some(envoy_plugin::access_log(&config)))));
    resource_of(plan, patches)
}

/// The logs of failed attempts and requests, loaded from a file.
pub(crate) fn lean(plan: &Plan, path: &str) -> Value {
    let config = envoy_plugin::plugin(plan, &envoy_plugin::file(path));
    let attempts = envoy_plugin::router(Some(envoy_plugin::log_of_failed_attempts(&config)));
    let requests = json!({
        "name": CONNECTION_MANAGER_NAME,
        "typed_config": {
            "@type": CONNECTION_MANAGER,
            "access_log": [envoy_plugin::log_of_failed_requests(&config)],
        },
    });
    let mut patches = at_router(plan, "MERGE", &attempts);
    let manager = json!({"name": CONNECTION_MANAGER_NAME});
    patches.extend(contexts(plan).iter().map(|context| patch("NETWORK_FILTER", context, &manager, "MERGE", &requests)));
    resource_of(plan, patches)
}

/// One patch for each direction in which requests leave: sidecars' outbound listeners and gateways.
fn at_router(plan: &Plan, operation: &str, value: &Value) -> Vec<Value> {
    let filter = json!({"name": CONNECTION_MANAGER_NAME, "subFilter": {"name": ROUTER_NAME}});
    contexts(plan).iter().map(|context| patch("HTTP_FILTER", context, &filter, operation, value)).collect()
}

fn contexts(plan: &Plan) -> &'static [&'static str] {
    match plan.target {
        Target::Workloads(_) => &["SIDECAR_OUTBOUND", "GATEWAY"],
        Target::Resources(_) => &["GATEWAY"],
    }
}

fn patch(kind: &str, context: &str, filter: &Value, operation: &str, value: &Value) -> Value {
    json!({
        "applyTo": kind,
        "match": {"context": context, "listener": {"filterChain": {"filter": filter}}},
        "patch": {"operation": operation, "value": value},
    })
}

fn resource_of(plan: &Plan, patches: Vec<Value>) -> Value {
    let spec = fields([
        ("configPatches", Some(patches.into())),
        ("targetRefs", plan.target_refs()),
        ("workloadSelector", plan.labels().map(|labels| json!({"labels": labels}))),
    ]);
    plan.resource("networking.istio.io/v1alpha3", "EnvoyFilter", spec)
}
