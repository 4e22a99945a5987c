//! The kinds of the API groups that are judged, and what was meant by one that is none of them.

use std::collections::{HashMap, HashSet};

use super::fields::{distance, plain};
use super::{ENVOY, MESH_CONFIG, Mesh, Resource};

/// A group, whether these are all kinds that it has, and the kinds.
const GROUPS: [(&str, bool, &[&str]); 7] = [
    (
        "networking.istio.io",
        true,
        &[
            "DestinationRule",
            "EnvoyFilter",
            "Gateway",
            "ProxyConfig",
            "ServiceEntry",
            "Sidecar",
            "VirtualService",
            "WorkloadEntry",
            "WorkloadGroup",
        ],
    ),
    ("extensions.istio.io", true, &["WasmPlugin", "TrafficExtension"]),
    ("security.istio.io", true, &["AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"]),
    ("telemetry.istio.io", true, &["Telemetry"]),
    ("install.istio.io", true, &["IstioOperator"]),
    ("extensions.higress.io", false, &["WasmPlugin"]),
    ("gateway.envoyproxy.io", false, &["EnvoyExtensionPolicy"]),
];

/// The kinds that rules look into; of others nothing is said.
const JUDGED: [&str; 7] = [
    "DestinationRule",
    "ServiceEntry",
    "WorkloadEntry",
    "EnvoyFilter",
    "WasmPlugin",
    "TrafficExtension",
    "EnvoyExtensionPolicy",
];

/// What is wrong with a resource's `kind` and `apiVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistaken {
    /// The kind is not one of its group; this one is meant.
    Kind(&'static str),
    /// The kind is of another group.
    Group(&'static str),
    /// The group has no such kind, as far as is known.
    Unknown,
    /// The kind is not served in this version, as far as is known, but in these.
    Version(&'static [&'static str]),
}

/// What is wrong with a resource's `kind` and `apiVersion`, if anything.
pub fn mistaken(resource: &Resource) -> Option<Mistaken> {
    let kind = resource.kind.as_str();
    if [ENVOY, MESH_CONFIG].contains(&kind) {
        return None;
    }
    let other = || GROUPS.into_iter().find(|(_, _, kinds)| kinds.contains(&kind));
    let Some((_, all, kinds)) = GROUPS.into_iter().find(|(group, ..)| *group == resource.group) else {
        // Other makers have a VirtualService too; Kubernetes itself has none of these, and a group that is nearly one
        // of Istio's is nobody's.
        let (group, ..) = GROUPS.into_iter().find(|(group, _, kinds)| {
            let is_meant = resource.group.is_empty() || distance(group, &resource.group) < 3;
            is_meant && kinds.contains(&kind)
        })?;
        return Some(Mistaken::Group(group));
    };
    if let Some(known) = versions(&resource.group, kind).filter(|_| kinds.contains(&kind)) {
        let (_, version) = resource.node.text("apiVersion")?.split_once('/')?;
        return (!known.contains(&version)).then_some(Mistaken::Version(known));
    }
    // A list is what kubectl makes of the resources of one kind.
    if kinds.contains(&kind) || kind.strip_suffix("List").is_some_and(|one| kinds.contains(&one)) {
        return None;
    }
    if let Some(meant) = kinds.iter().find(|known| distance(&plain(known), &plain(kind)) < 3) {
        return Some(Mistaken::Kind(meant));
    }
    match other() {
        Some((group, ..)) if all => Some(Mistaken::Group(group)),
        _ => all.then_some(Mistaken::Unknown),
    }
}

/// The versions in which a kind of Istio's is served, the newest first.
fn versions(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (group, kind) {
        ("networking.istio.io", "EnvoyFilter") => Some(&["v1alpha3"]),
        ("networking.istio.io", "ProxyConfig") => Some(&["v1beta1"]),
        ("networking.istio.io", _) => Some(&["v1", "v1beta1", "v1alpha3"]),
        ("extensions.istio.io", _) => Some(&["v1alpha1"]),
        ("security.istio.io", _) => Some(&["v1", "v1beta1"]),
        ("telemetry.istio.io", _) => Some(&["v1", "v1alpha1"]),
        _ => None,
    }
}

/// The files with something in them that a rule looks into.
pub fn judged(mesh: &Mesh) -> HashSet<&str> {
    let ruled = mesh.resources.iter().filter(|resource| has_rules(resource)).map(|resource| &*resource.file);
    mesh.configurations.iter().map(|config| &*config.file).chain(ruled).collect()
}

/// The kinds of the resources in each file, each once, in the order of the file.
pub fn by_file(mesh: &Mesh) -> HashMap<&str, Vec<&str>> {
    let mut kinds: HashMap<&str, Vec<&str>> = HashMap::new();
    for resource in &mesh.resources {
        let here = kinds.entry(&resource.file).or_default();
        if !here.contains(&resource.kind.as_str()) {
            here.push(&resource.kind);
        }
    }
    kinds
}

fn has_rules(resource: &Resource) -> bool {
    let kind = resource.kind.as_str();
    let of_group = GROUPS.iter().any(|(group, _, kinds)| *group == resource.group && kinds.contains(&kind));
    [ENVOY, MESH_CONFIG].contains(&kind) || (of_group && JUDGED.contains(&kind)) || mistaken(resource).is_some()
}
