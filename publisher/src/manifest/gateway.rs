//! Writes Envoy Gateway's EnvoyExtensionPolicy.
//!
//! Its controller pulls the image and serves the module to its proxies. So the pull secret is read in the policy's
//! namespace, and proxies need no access to the registry. The witness needs a cluster that leads to the proxy's admin
//! interface; Envoy Gateway creates none.

use serde_json::{Value, json};

use super::plan::{Plan, ROOT_ID, fields};
use crate::reference::RegistryRef;

/// The `EnvoyExtensionPolicy`.
pub(crate) fn policy(plan: &Plan, image: &RegistryRef) -> Value {
    let image = fields([
        ("pullSecretRef", plan.pull_secret.as_ref().map(|name| json!({"group": "", "kind": "Secret", "name": name}))),
        ("url", Some(plan.url(image).into())),
    ]);
    let code = fields([
        ("image", Some(image.into())),
        ("pullPolicy", plan.pull_policy.map(|policy| policy.name().into())),
        ("type", Some("Image".into())),
    ]);
    let wasm = fields([
        ("code", Some(code.into())),
        ("config", plan.config.clone()),
        // Without it, requests are refused when the module cannot run.
        ("failOpen", Some(true.into())),
        ("name", Some(plan.name.clone().into())),
        ("rootID", Some(ROOT_ID.into())),
    ]);
    let spec = fields([("targetRefs", plan.target_refs()), ("wasm", Some(json!([wasm])))]);
    plan.resource("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", spec)
}
