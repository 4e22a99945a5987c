//! The rule for two faultline plugins in the same proxies (FL309).
//!
//! Istio puts every WasmPlugin and TrafficExtension that matches a proxy into its filter chain: those of the root
//! namespace and those of the proxy's own. Which proxies match is compared by namespace, selector, targets and `match`,
//! as far as the files tell.

use serde_json::Value;

use super::carrier::is_ours;
use super::finding::{Draft, Finding, Severity};
use super::rules;
use crate::mesh::{Mesh, Resource};
use crate::yaml::node::Node;

/// Istio's root namespace, where the mesh configuration does not name another.
const ROOT: &str = "istio-system";

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
    let root = mesh.mesh_configs().find_map(|config| config.node.text("rootNamespace")).unwrap_or(ROOT);
    let plugins: Vec<(&Resource, &Node)> = mesh.resources.iter().filter_map(ours).collect();
    let mut found = Vec::new();
    for (index, (later, _)) in plugins.iter().enumerate() {
        let earlier = plugins.iter().take(index).map(|(earlier, _)| *earlier);
        // The same resource again replaces the first.
        let others = earlier.filter(|earlier| id(earlier) != id(later));
        let overlaps = others.filter_map(|earlier| Some((earlier, overlap(earlier, later, root)?)));
        found.extend(overlaps.map(|(earlier, overlap)| draft(earlier, overlap).in_resource(later)));
    }
    found
}

/// A plugin of ours, and the node that holds its image.
fn ours(resource: &Resource) -> Option<(&Resource, &Node)> {
    let path = match (resource.kind.as_str(), resource.group.as_str()) {
        ("WasmPlugin", "extensions.istio.io") => "spec",
        ("TrafficExtension", "extensions.istio.io") => "spec.wasm",
        _ => return None,
    };
    let code = resource.node.at(path)?;
    is_ours(resource, code).then_some((resource, code))
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
        resource.node.map("spec.selector.matchLabels").iter().map(|(key, value)| (key.clone(), value.json())).collect()
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

/// Whether some traffic is in a `match` of both: the same direction, and a port of both.
fn same_traffic(a: &Resource, b: &Resource) -> bool {
    let (a, b) = (a.node.list("spec.match"), b.node.list("spec.match"));
    a.is_empty() || b.is_empty() || a.iter().any(|item| b.iter().any(|other| items_meet(item, other)))
}

fn items_meet(a: &Node, b: &Node) -> bool {
    let mode = |item: &Node| item.text("mode").map(str::to_owned).filter(|mode| mode == "CLIENT" || mode == "SERVER");
    let ports =
        |item: &Node| -> Vec<u64> { item.list("ports").iter().filter_map(|port| port.number("number")).collect() };
    let (a_ports, b_ports) = (ports(a), ports(b));
    let same_port = a_ports.is_empty() || b_ports.is_empty() || a_ports.iter().any(|port| b_ports.contains(port));
    let same_mode = match (mode(a), mode(b)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    same_port && same_mode
}
