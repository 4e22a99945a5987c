//! The rule for faultline twice in the same proxies (FL309): as two HTTP filters, or as a filter and in a log.
//!
//! Istio puts every WasmPlugin and TrafficExtension that matches a proxy into its filter chain, and what an EnvoyFilter
//! adds: those of the root namespace and those of the proxy's own. Which proxies match is compared by namespace,
//! selector, targets and `match`, as far as the files tell. In a bootstrap, each connection manager is looked at.

use std::cmp::Reverse;

use serde_json::Value;

use super::finding::{Draft, Finding, Severity};
use super::places::{self, Double, Place, Position};
use super::rules;
use mesh::{ENVOY, Mesh, Resource};

/// Whether two plugins stand in the same filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// Wherever the narrower of the two is.
    Certain,
    /// In some proxies, if there are such.
    Possible,
}

/// Every pair of resources that put faultline into one proxy twice, reported at the later one, and every resource that
/// does so alone.
pub(super) fn check(mesh: &Mesh) -> Vec<Finding> {
    let root = mesh.root();
    let of = |resource| (resource, places::of_resource(resource));
    let plugins: Vec<(&Resource, Vec<Place>)> =
        mesh.resources.iter().map(of).filter(|(_, places)| !places.is_empty()).collect();
    let mut found = Vec::new();
    for (index, (later, places)) in plugins.iter().enumerate() {
        found.extend(within(places).map(|draft| draft.in_resource(later)));
        // The same resource again replaces the first.
        let others = plugins.iter().take(index).filter(|(earlier, _)| id(earlier) != id(later));
        let doubles = others.filter_map(|(earlier, of_earlier)| {
            let double = double(of_earlier, places)?;
            Some(draft(earlier, overlap(earlier, later, root)?, double))
        });
        found.extend(doubles.map(|draft| draft.in_resource(later)));
    }
    for bootstrap in mesh.resources.iter().filter(|resource| resource.kind == ENVOY) {
        found.extend(in_bootstrap(bootstrap).into_iter().map(|draft| draft.in_resource(bootstrap)));
    }
    found
}

fn id(resource: &Resource) -> [&str; 3] {
    [&resource.kind, resource.namespace(), &resource.name]
}

/// What happens to a request that is in places of both.
fn double(a: &[Place], b: &[Place]) -> Option<Double> {
    let pairs = a.iter().flat_map(|one| b.iter().map(move |other| (one, other)));
    pairs.filter(|(one, other)| one.traffic.meets(&other.traffic)).filter_map(|(one, other)| one.with(other)).max()
}

/// A filter that counts what a log of the same resource counts too.
fn within(places: &[Place]) -> Option<Draft> {
    let filters = || places.iter().filter(|place| place.position == Position::Filter);
    let counted = |log: &&Place| {
        log.position != Position::Filter
            && filters().any(|filter| filter.traffic.meets(&log.traffic) && filter.with(log).is_some())
    };
    places.iter().find(counted).map(|log| beside(log.path.clone(), Double::Counts))
}

/// Every connection manager of a bootstrap in which faultline is twice, reported at its second place.
fn in_bootstrap(bootstrap: &Resource) -> Vec<Draft> {
    let places = places::of_bootstrap(&bootstrap.node);
    let mut managers: Vec<&str> = places.iter().map(|(manager, _)| manager.as_str()).collect();
    managers.dedup();
    let doubles = managers.into_iter().filter_map(|manager| {
        let here: Vec<&Place> = places.iter().filter(|(of, _)| of == manager).map(|(_, place)| place).collect();
        let pairs = here.iter().enumerate().flat_map(|(index, later)| {
            here.iter().take(index).filter_map(move |earlier| Some((earlier.with(later)?, index, later)))
        });
        let (double, _, later) = pairs.max_by_key(|(double, index, _)| (*double, Reverse(*index)))?;
        Some(beside(later.path.clone(), double))
    });
    doubles.collect()
}

/// What is said where faultline is twice in one place of a file.
fn beside(path: String, double: Double) -> Draft {
    let problem = match double {
        Double::Passes => "is the second of faultline's filters in one filter chain",
        Double::Counts => "puts faultline where it sees errors that it sees at another place of the same traffic, too",
    };
    words(path, problem, double, "keep one of the two")
}

fn draft(earlier: &Resource, overlap: Overlap, double: Double) -> Draft {
    let problem = match overlap {
        Overlap::Certain => format!("{} puts faultline into the same proxies", earlier.title()),
        Overlap::Possible => {
            format!("{} puts faultline into the same proxies, where both selectors or targets hold", earlier.title())
        }
    };
    words(
        "metadata.name".into(),
        &problem,
        double,
        "keep one of the two, or give them selectors that exclude each other",
    )
}

fn words(path: String, problem: &str, double: Double, fix: &str) -> Draft {
    let (at_run_time, more) = match double {
        Double::Passes => {
            ("a request passes the filter twice: it costs twice, and counts under one of the two configurations", "")
        }
        Double::Counts => (
            "each error counts twice, in two positions: streaks and ejections are told that did not happen",
            "; beside a log of every attempt, the filter's `attempts` is `upstreamLog`, as the log's is",
        ),
    };
    Draft::new(rules::FL309, Severity::Warning, path, [problem, at_run_time, &format!("{fix}{more}")])
}

fn overlap(a: &Resource, b: &Resource, root: &str) -> Option<Overlap> {
    let near = a.namespace() == b.namespace() || [a, b].iter().any(|plugin| plugin.namespace() == root);
    if !near {
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
