//! Writes Istio's WasmPlugin, its successor TrafficExtension (Istio 1.30), and Higress's WasmPlugin, which derives from
//! Istio's.
//!
//! Istio's two kinds hold the same facts, nested differently. Higress has neither selector nor match, since all its
//! plugins go into its gateway, and calls the configuration `defaultConfig`.

use serde_json::{Map, Value, json};

use super::plan::{Plan, ROOT_ID, Target, fields};
use crate::reference::RegistryRef;

/// API group and version of Istio's two kinds.
const EXTENSIONS: &str = "extensions.istio.io/v1alpha1";

/// Istio's `WasmPlugin`.
pub(crate) fn wasm_plugin(plan: &Plan, image: &RegistryRef) -> Value {
    let mut spec = place(plan);
    spec.extend(code(plan, image));
    plan.resource(EXTENSIONS, "WasmPlugin", spec)
}

/// Istio's `TrafficExtension`.
pub(crate) fn traffic_extension(plan: &Plan, image: &RegistryRef) -> Value {
    let mut spec = place(plan);
    spec.insert("wasm".to_owned(), code(plan, image).into());
    plan.resource(EXTENSIONS, "TrafficExtension", spec)
}

/// Higress's `WasmPlugin`.
pub(crate) fn higress(plan: &Plan, image: &RegistryRef) -> Value {
    let mut spec = code(plan, image);
    // Present even if empty: it covers every route, whereas matchRules would cover some.
    let config = spec.remove("pluginConfig").unwrap_or_else(|| json!({}));
    spec.extend(fields([
        ("defaultConfig", Some(config)),
        ("defaultConfigDisable", Some(false.into())),
        ("phase", Some(plan.phase.map_or("UNSPECIFIED_PHASE", |phase| phase.name()).into())),
        ("priority", Some(plan.priority.into())),
    ]));
    plan.resource("extensions.higress.io/v1alpha1", "WasmPlugin", spec)
}

/// Where the plugin goes: the fields of `spec` that Istio's two kinds share.
fn place(plan: &Plan) -> Map<String, Value> {
    let r#match = match plan.target {
        Target::Workloads(_) => Some(json!([{"mode": "CLIENT"}])),
        // No match: a waypoint counts as a server, so CLIENT would silently never apply there.
        Target::Resources(_) => None,
    };
    fields([
        ("match", r#match),
        ("phase", plan.phase.map(|phase| phase.name().into())),
        // Always set: the documented default is 0, but if unset istiod sorts the plugin behind every other.
        ("priority", Some(plan.priority.into())),
        ("selector", plan.labels().map(|labels| json!({"matchLabels": labels}))),
        ("targetRefs", plan.target_refs()),
    ])
}

/// What runs: fields of `spec` in a WasmPlugin, of `spec.wasm` in a TrafficExtension.
fn code(plan: &Plan, image: &RegistryRef) -> Map<String, Value> {
    fields([
        // Any other strategy answers 403 to all traffic when the module cannot be fetched.
        ("failStrategy", Some("FAIL_OPEN".into())),
        ("imagePullPolicy", plan.pull_policy.map(|policy| policy.name().into())),
        ("imagePullSecret", plan.pull_secret.clone().map(Value::from)),
        ("pluginConfig", plan.config.clone()),
        ("pluginName", Some(ROOT_ID.into())),
        ("url", Some(plan.url(image).into())),
    ])
}
