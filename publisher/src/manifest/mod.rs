//! Writes manifests: the resources that put an artifact into a mesh or an Envoy.
//!
//! A [`plan`] holds everything that a manifest says. Each family of kinds has a file that writes it: [`istio`] (with
//! Higress's), [`gateway`], [`envoy_filter`], [`bootstrap`]. [`envoy_plugin`] is what the last two share, [`stats`] is
//! what the metrics need, [`comments`] are the comments at the head.
//!
//! Every mesh compares the digest with that of the image's manifest; for an index, with that of the child. Pinning
//! matters twice: the mesh runs what was inspected, and a proxy that already has the module needs no registry.

mod bootstrap;
pub(crate) mod comments;
mod envoy_filter;
mod envoy_plugin;
mod gateway;
mod istio;
pub(crate) mod kind;
pub(crate) mod plan;
pub(crate) mod stats;

use anyhow::bail;
use serde_json::{Value, json};

use kind::{FilterPosition, Kind};
use plan::{Plan, Source};

/// Makes the configuration match the plugin's position: which attempts it counts and, in a bootstrap, which cluster the
/// witness asks. Returns a warning, if any.
///
/// # Errors
/// When the configuration contradicts the plugin's position.
pub(crate) fn complete(plan: &mut Plan, position: FilterPosition) -> anyhow::Result<Option<&'static str>> {
    let mut warning = None;
    let attempts = plan.config.as_ref().and_then(|config| config["attempts"].as_str());
    match (attempts, position) {
        (Some(told), _) if Some(told) == position.attempts() => {}
        (None, _) | (Some("final"), FilterPosition::Http) => {}
        (Some("upstreamLog"), FilterPosition::Http) if !matches!(plan.kind, Kind::EnvoyFilter | Kind::Envoy) => {
            warning = Some(
                "warning: the configuration says `attempts: upstreamLog`; without an EnvoyFilter for the upstream log \
                    too (--kind EnvoyFilter --position upstream-log) nothing is seen",
            );
        }
        (Some(told), position) => {
            let needed = [FilterPosition::Http, FilterPosition::UpstreamLog, FilterPosition::Lean]
                .into_iter()
                .find(|position| position.attempts().unwrap_or("final") == told)
                .map(|position| format!(", or use --position {}", position.name()));
            bail!(
                "the configuration says `attempts: {told}`, which is not for --position {}: leave it off{}",
                position.name(),
                needed.unwrap_or_default()
            )
        }
    }
    if let Some(attempts) = position.attempts() {
        plan.config.get_or_insert_with(|| json!({}))["attempts"] = json!(attempts);
    }
    if plan.kind == Kind::Envoy {
        let config = plan.config.get_or_insert_with(|| json!({}));
        if config["witness"].is_null() {
            config["witness"] = json!({"cluster": bootstrap::WITNESS});
        }
    }
    Ok(warning)
}

/// The manifest itself, without comments.
///
/// # Errors
/// When the kind needs a digest and the plan has none, or when the configuration is invalid.
pub(crate) fn document(plan: &Plan) -> anyhow::Result<Value> {
    Ok(match (&plan.source, plan.kind) {
        (Source::File { path, position }, Kind::Envoy) => bootstrap::bootstrap(plan, path, *position)?,
        (Source::File { path, position: FilterPosition::Lean }, _) => envoy_filter::lean(plan, path),
        (Source::File { path, .. }, _) => envoy_filter::upstream_log(plan, path),
        (Source::Image(image), Kind::WasmPlugin) => istio::wasm_plugin(plan, image),
        (Source::Image(image), Kind::TrafficExtension) => istio::traffic_extension(plan, image),
        (Source::Image(image), Kind::HigressWasmPlugin) => istio::higress(plan, image),
        (Source::Image(image), Kind::EnvoyExtensionPolicy) => gateway::policy(plan, image),
        (Source::Image(image), Kind::EnvoyFilter | Kind::Envoy) => envoy_filter::by_discovery(plan, image)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh::yaml;
    use plan::Target;
    use plan::tests::plan;
    use std::collections::BTreeMap;

    fn written(plan: &Plan) -> String {
        yaml::write(&document(plan).unwrap()).unwrap()
    }

    #[test]
    fn the_default_is_what_a_namespace_of_sidecars_needs() {
        assert_eq!(
            written(&plan(Kind::WasmPlugin)).trim_end(),
            "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: faultline
  namespace: shop
spec:
  failStrategy: FAIL_OPEN
  match:
  - mode: CLIENT
  pluginName: faultline
  priority: 0
  url: oci://ghcr.io/acme/faultline:1.0@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for word in ["true", "yes", "on", "y", "null", "~", "1", "0x1f", "1_000", "12:30", ""] {
            let mut plan = plan(Kind::WasmPlugin);
            plan.target = Target::Workloads(BTreeMap::from([("k".to_owned(), word.to_owned())]));
            let yaml = written(&plan);
            assert!(!yaml.contains(&format!("k: {word}\n")), "{yaml}");
        }
    }

    #[test]
    fn a_configuration_that_contradicts_the_position_is_refused() {
        let mut contradictory = plan(Kind::EnvoyFilter);
        contradictory.config = Some(json!({"attempts": "final"}));
        assert!(complete(&mut contradictory, FilterPosition::UpstreamLog).is_err());
        contradictory.config = Some(json!({"attempts": "upstreamLog"}));
        assert!(complete(&mut contradictory, FilterPosition::Http).is_err());
    }
}
