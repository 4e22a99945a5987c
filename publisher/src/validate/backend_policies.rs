//! The rule for thresholds of a plugin in Envoy Gateway that differ from those of the BackendTrafficPolicies beside it
//! (FL311).
//!
//! A policy at a route stands for the route in place of the one at its Gateway. What the policy leaves out has Envoy
//! Gateway's defaults (`PassiveHealthCheck` in `api/v1alpha1/healthcheck_types.go`, `buildXdsOutlierDetection`).

use filter_core::config::{self, Config, OutlierDetection};
use serde_json::{Value, json};

use super::carrier;
use super::finding::{Draft, Finding};
use super::thresholds::{draft, entry_for, first_difference, writes_default};
use mesh::yaml;
use mesh::{Mesh, Resource, outlier};

/// The group of Envoy Gateway's policies.
const GROUP: &str = "gateway.envoyproxy.io";
/// The group of what they are attached to.
const TARGETS: &str = "gateway.networking.k8s.io";
/// A name that no route has, for a Gateway whose routes are not among the files.
const ANY: &str = "any-route";

/// Every configuration of an EnvoyExtensionPolicy that differs.
pub(super) fn check(mesh: &Mesh) -> Vec<Finding> {
    let of_kind = |kind: &'static str| mesh.resources.iter().filter(move |it| it.kind == kind && it.group == GROUP);
    let mut found = Vec::new();
    for plugin in of_kind("EnvoyExtensionPolicy") {
        for (path, text) in carrier::configurations_of_gateway(plugin) {
            let Ok(parsed) = config::parse(text.as_bytes()) else { continue };
            let mut policies = of_kind("BackendTrafficPolicy");
            let draft = policies.find_map(|policy| differs(&text, &parsed.config, plugin, policy, mesh));
            found.extend(draft.map(|draft| draft.inside(&path).in_resource(plugin)));
        }
    }
    found
}

/// What a policy is attached to: kind and name, in its own namespace.
fn targets(policy: &Resource) -> Vec<(&str, &str)> {
    let single = policy.node.at("spec.targetRef").into_iter();
    let all = single.chain(policy.node.list("spec.targetRefs"));
    all.filter_map(|target| Some((target.text("kind")?, target.text("name")?))).collect()
}

/// The routes among the files that are attached to a Gateway: kind, namespace and name.
fn routes<'a>(mesh: &'a Mesh, namespace: &'a str, gateway: &'a str) -> impl Iterator<Item = &'a Resource> {
    let is_attached = move |route: &&Resource| {
        route.node.list("spec.parentRefs").iter().any(|parent| {
            let of = parent.text("namespace").unwrap_or_else(|| route.namespace());
            parent.text("kind").is_none_or(|kind| kind == "Gateway")
                && (of, parent.text("name").unwrap_or_default()) == (namespace, gateway)
        })
    };
    mesh.resources.iter().filter(|it| it.group == TARGETS && it.kind.ends_with("Route")).filter(is_attached)
}

/// The clusters for which both a plugin and a policy hold, by the name of a cluster of each.
fn clusters(plugin: &Resource, policy: &Resource, mesh: &Mesh) -> Vec<String> {
    let name = |kind: &str, namespace: &str, name: &str| format!("{}/{namespace}/{name}/rule/0", kind.to_lowercase());
    let of = |route: &Resource| name(&route.kind, route.namespace(), &route.name);
    let (ours, theirs) = (targets(plugin), targets(policy));
    let mut found = Vec::new();
    for (kind, target) in &theirs {
        let namespace = policy.namespace();
        let is_same = namespace == plugin.namespace() && ours.contains(&(*kind, *target));
        if *kind != "Gateway" {
            let is_below = || {
                let gateways = ours.iter().filter(|(kind, _)| *kind == "Gateway");
                gateways.flat_map(|(_, gateway)| routes(mesh, plugin.namespace(), gateway)).any(|route| {
                    (route.namespace(), route.kind.as_str(), route.name.as_str()) == (namespace, *kind, *target)
                })
            };
            found.extend((is_same || is_below()).then(|| name(kind, namespace, target)));
            continue;
        }
        let mut of_gateway = routes(mesh, namespace, target).peekable();
        if is_same && of_gateway.peek().is_none() {
            found.push(name("HTTPRoute", namespace, ANY));
        }
        let free = of_gateway.filter(|route| !has_own(mesh, route));
        found.extend(free.filter(|route| is_same || is_at(plugin, route)).map(of));
    }
    found
}

/// Whether something is attached to a route itself.
fn is_at(policy: &Resource, route: &Resource) -> bool {
    policy.namespace() == route.namespace() && targets(policy).contains(&(&route.kind, &route.name))
}

/// Whether a BackendTrafficPolicy is attached to a route itself.
fn has_own(mesh: &Mesh, route: &Resource) -> bool {
    let mut policies = mesh.resources.iter().filter(|it| it.kind == "BackendTrafficPolicy" && it.group == GROUP);
    policies.any(|policy| is_at(policy, route))
}

fn differs(text: &str, config: &Config, plugin: &Resource, policy: &Resource, mesh: &Mesh) -> Option<Draft> {
    let envoys = detection(policy)?;
    let has_default = config.witness.is_none() || writes_default(text);
    clusters(plugin, policy, mesh).into_iter().find_map(|cluster| {
        let entry = entry_for(&cluster, config);
        let configured = config.rules_for(&cluster).filter(|_| has_default || entry.is_some())?;
        let (field, ours, theirs) = first_difference(configured, envoys.as_ref())?;
        let path = entry.map_or("outlierDetection".to_owned(), |index| format!("clusters[{index}].outlierDetection"));
        let problem = format!("{field} is {ours} here and {theirs} by {}", policy.title());
        let fix = "write the policy's own values, under Istio's names (`consecutive5xxErrors`; `minHealthPercent` is \
            `healthCheck.panicThreshold`, 50 by default; `interval` is 3s by default)";
        Some(draft(config.witness.is_some(), path, &problem, fix))
    })
}

/// How clusters eject by a policy: `Some(None)` is never; `None` if it cannot be read.
fn detection(policy: &Resource) -> Option<Option<OutlierDetection>> {
    let Some(passive) = policy.node.at("spec.healthCheck.passive") else { return Some(None) };
    let mut fields = json!({"interval": "3s"});
    let of_istio = fields.as_object_mut()?;
    of_istio.extend(passive.json().as_object()?.clone());
    if let Some(count) = of_istio.remove("consecutive5XxErrors") {
        of_istio.insert("consecutive5xxErrors".to_owned(), count);
    }
    if of_istio.get("splitExternalLocalOriginErrors") != Some(&Value::Bool(true)) {
        of_istio.remove("consecutiveLocalOriginFailures");
    }
    let panic = policy.node.number("spec.healthCheck.panicThreshold").unwrap_or(50);
    of_istio.insert("minHealthPercent".to_owned(), panic.into());
    let nodes = yaml::read(&fields.to_string()).ok()?;
    Some(Some(outlier::translate(nodes.first()?).ok()?))
}
