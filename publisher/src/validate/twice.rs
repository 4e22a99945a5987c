//! The rule for two faultline plugins in the same proxies (FL309).
//!
//! Istio puts every WasmPlugin and TrafficExtension that matches a proxy into its filter chain, and what an EnvoyFilter
//! inserts: those of the root namespace and those of the proxy's own. Which proxies match is compared by namespace,
//! selector, targets and `match`, as far as the files tell.

use serde_json::Value;

use super::carrier::{has_plugin, is_ours};
use super::finding::{Draft, Finding, Severity};
use super::rules;
use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

/// Whether two plugins stand in the same filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// Wherever the narrower of the two is.
    Certain,
    /// In some proxies, if there are such.
    Possible,
}

/// Every pair of faultline's plugins that may be in force in one proxy, reported at the later one.
pub(super) fn check(mesh: &Mesh) -> Vec<Finding> {
    let root = mesh.root();
    let plugins: Vec<&Resource> = mesh.resources.iter().filter(|resource| is_in_filter_chains(resource)).collect();
    let mut found = Vec::new();
    for (index, later) in plugins.iter().enumerate() {
        let earlier = plugins.iter().take(index).copied();
        // The same resource again replaces the first.
        let others = earlier.filter(|earlier| id(earlier) != id(later));
        let overlaps = others.filter_map(|earlier| Some((earlier, overlap(earlier, later, root)?)));
        found.extend(overlaps.map(|(earlier, overlap)| draft(earlier, overlap).in_resource(later)));
    }
    found
}

/// Whether a resource puts faultline into filter chains.
fn is_in_filter_chains(resource: &Resource) -> bool {
    let carries = |path: &str| resource.node.at(path).is_some_and(|code| is_ours(resource, code));
    match (resource.kind.as_str(), resource.group.as_str()) {
        ("WasmPlugin", "extensions.istio.io") => carries("spec"),
        ("TrafficExtension", "extensions.istio.io") => carries("spec.wasm"),
        ("EnvoyFilter", "networking.istio.io") => !insertions(resource).is_empty(),
        _ => false,
    }
}

/// The patches of an EnvoyFilter that insert faultline as an HTTP filter, itself or by the name under which another
/// patch delivers it. The router's log of attempts is no insertion: there, no request passes.
fn insertions(filter: &Resource) -> Vec<&Node> {
    let patches = || filter.node.list("spec.configPatches").iter();
    let of = |to: &'static str| patches().filter(move |patch| patch.text("applyTo") == Some(to));
    let delivered = |name: &str| {
        of("EXTENSION_CONFIG").any(|patch| patch.text("patch.value.name") == Some(name) && has_plugin(patch))
    };
    let inserts = |patch: &&Node| {
        let operation = patch.text("patch.operation").unwrap_or_default();
        let adds = operation == "ADD" || operation.starts_with("INSERT_");
        adds && (has_plugin(patch) || patch.text("patch.value.name").is_some_and(delivered))
    };
    of("HTTP_FILTER").filter(inserts).collect()
}

fn id(resource: &Resource) -> [&str; 3] {
    [&resource.kind, resource.namespace(), &resource.name]
}

fn draft(earlier: &Resource, overlap: Overlap) -> Draft {
    let problem = match overlap {
        Overlap::Certain => format!("{} puts faultline into the same proxies", earlier.title()),
        Overlap::Possible => {
            format!("{} puts faultline into the same proxies, where both selectors or targets hold", earlier.title())
        }
    };
    let words = [
        problem.as_str(),
        "a request passes the filter twice: it costs twice, and counts under one of the two configurations",
        "keep one of the two, or give them selectors that exclude each other",
    ];
    Draft::new(rules::FL309, Severity::Warning, "metadata.name".into(), words)
}

fn overlap(a: &Resource, b: &Resource, root: &str) -> Option<Overlap> {
    let near = a.namespace() == b.namespace() || [a, b].iter().any(|plugin| plugin.namespace() == root);
    if !near || !same_traffic(a, b) {
        return None;
    }
    match (targets(a), targets(b)) {
        (a_targets, b_targets) if a_targets.is_empty() && b_targets.is_empty() => selectors(a, b),
        (a_targets, b_targets) if a_targets.is_empty() || b_targets.is_empty() => None,
        (a_targets, b_targets) if a.namespace() == b.namespace() => resources(&a_targets, &b_targets),
        _ => None,
    }
}

/// Compares the labels that each selects; none is every workload.
fn selectors(a: &Resource, b: &Resource) -> Option<Overlap> {
    let labels = |resource: &Resource| -> Vec<(String, Value)> {
        let path = if resource.kind == "EnvoyFilter" { "workloadSelector.labels" } else { "selector.matchLabels" };
        resource.node.map(&format!("spec.{path}")).iter().map(|(key, value)| (key.clone(), value.json())).collect()
    };
    let (a, b) = (labels(a), labels(b));
    let contradict = a.iter().any(|(key, value)| b.iter().any(|(other, of)| key == other && value != of));
    let within = |few: &[(String, Value)], many: &[(String, Value)]| few.iter().all(|label| many.contains(label));
    match contradict {
        true => None,
        false if within(&a, &b) || within(&b, &a) => Some(Overlap::Certain),
        false => Some(Overlap::Possible),
    }
}

/// The resources that a plugin is attached to, by kind and name.
fn targets(plugin: &Resource) -> Vec<(&str, &str)> {
    let single = plugin.node.at("spec.targetRef").into_iter();
    let nodes = single.chain(plugin.node.list("spec.targetRefs"));
    nodes.map(|node| (node.text("kind").unwrap_or_default(), node.text("name").unwrap_or_default())).collect()
}

/// Compares targets: a GatewayClass covers its Gateways, and the waypoint of a Service is a Gateway.
fn resources(a: &[(&str, &str)], b: &[(&str, &str)]) -> Option<Overlap> {
    if a.iter().any(|target| b.contains(target)) {
        return Some(Overlap::Certain);
    }
    let differ = a.iter().any(|(kind, _)| b.iter().any(|(other, _)| kind != other));
    differ.then_some(Overlap::Possible)
}

/// Traffic in which a plugin is.
struct Traffic {
    /// The only direction, if there is one.
    direction: Option<Direction>,
    /// The only ports; none is every port.
    ports: Vec<u64>,
}

/// Seen from the workload.
#[derive(PartialEq, Eq)]
enum Direction {
    Outbound,
    Inbound,
}

/// The traffic that a plugin names; none is all traffic.
fn traffic(plugin: &Resource) -> Vec<Traffic> {
    let of_match = |item: &Node| {
        let direction = match item.text("mode") {
            Some("CLIENT") => Some(Direction::Outbound),
            Some("SERVER") => Some(Direction::Inbound),
            _ => None,
        };
        let ports = item.list("ports").iter().filter_map(|port| port.number("number")).collect();
        Traffic { direction, ports }
    };
    let of_patch = |patch: &&Node| {
        // A gateway's listeners count as a client's, as for a WasmPlugin.
        let direction = match patch.text("match.context") {
            Some("SIDECAR_OUTBOUND" | "GATEWAY") => Some(Direction::Outbound),
            Some("SIDECAR_INBOUND") => Some(Direction::Inbound),
            _ => None,
        };
        Traffic {
            direction,
            ports: patch.at("match.listener").and_then(|it| it.number("portNumber")).into_iter().collect(),
        }
    };
    match plugin.kind.as_str() {
        "EnvoyFilter" => insertions(plugin).iter().map(of_patch).collect(),
        _ => plugin.node.list("spec.match").iter().map(of_match).collect(),
    }
}

/// Whether some traffic is that of both: the same direction, and a port of both.
fn same_traffic(a: &Resource, b: &Resource) -> bool {
    let (a, b) = (traffic(a), traffic(b));
    a.is_empty() || b.is_empty() || a.iter().any(|one| b.iter().any(|other| meet(one, other)))
}

fn meet(a: &Traffic, b: &Traffic) -> bool {
    let same_port = a.ports.is_empty() || b.ports.is_empty() || a.ports.iter().any(|port| b.ports.contains(port));
    let same_direction = a.direction.is_none() || b.direction.is_none() || a.direction == b.direction;
    same_port && same_direction
}
