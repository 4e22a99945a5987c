//! Locality settings: istiod's `ValidateLocalityLbSetting` and `ValidateZoneAwareLbSetting`.

use super::refusal::{Refusal, What};
use crate::yaml::node::Node;

/// Labels with which `failoverPriority` means the same as `failover`.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// Every reason for which the locality settings of a `loadBalancer` are refused.
pub(super) fn check(balancer: &Node, path: &str, found: &mut Vec<Refusal>) {
    if let Some(settings) = balancer.field("localityLbSetting") {
        of_locality(settings, &format!("{path}.localityLbSetting"), found);
    }
    if let Some(settings) = balancer.field("zoneAwareLbSetting") {
        of_zones(settings, &format!("{path}.zoneAwareLbSetting"), found);
    }
}

/// The same for a MeshConfig.
pub(super) fn of_mesh(config: &Node) -> Vec<Refusal> {
    let mut found = Vec::new();
    if let Some(settings) = config.field("localityLbSetting") {
        of_locality(settings, "localityLbSetting", &mut found);
    }
    if let Some(settings) = config.field("zoneAwareLbSetting") {
        of_zones(settings, "zoneAwareLbSetting", &mut found);
    }
    found
}

fn of_locality(settings: &Node, path: &str, found: &mut Vec<Refusal>) {
    let has = |name: &str| !settings.list(name).is_empty();
    if has("distribute") && has("failover") {
        let fix = "keep one: `distribute` sends fixed shares to localities, `failover` says where to go when a region \
            fails";
        let refusal = Refusal::new(format!("{path}.distribute"), "stands together with failover", fix);
        found.push(refusal.of(What::Exclusive));
    }
    if has("failover")
        && let Some(index) = topology(settings)
    {
        let problem = "is a label of topology, and stands together with failover";
        let fix = "keep one: list the labels in their order in `failoverPriority`, or name regions in `failover`";
        let refusal = Refusal::new(format!("{path}.failoverPriority[{index}]"), problem, fix);
        found.push(refusal.of(What::Exclusive));
    }
    let from: Vec<&str> =
        settings.list("distribute").iter().map(|entry| entry.text("from").unwrap_or_default()).collect();
    for (index, entry) in settings.list("distribute").iter().enumerate() {
        let path = format!("{path}.distribute[{index}]");
        let problem = place_problem(from.get(index).copied().unwrap_or_default());
        found.extend(problem.map(|problem| Refusal::new(format!("{path}.from"), problem, PLACES)));
        found.extend(weights(entry, &format!("{path}.to")));
        found.extend(targets(entry, &format!("{path}.to")));
        let before = from.get(..index).unwrap_or_default();
        let overlaps = from.get(index).and_then(|own| before.iter().find(|earlier| excludes(earlier, own)));
        found.extend(overlaps.map(|earlier| {
            let problem = format!("is in `{earlier}`, for which an entry above is");
            let fix = "put the narrower one first, or give each place one entry";
            Refusal::new(format!("{path}.from"), problem, fix)
        }));
    }
    regions(settings, path, found);
}

fn of_zones(settings: &Node, path: &str, found: &mut Vec<Refusal>) {
    if let Some(index) = topology(settings) {
        let problem = "is a label of topology, which zone-aware balancing goes by anyway";
        found.push(Refusal::new(format!("{path}.failoverPriority[{index}]"), problem, "remove it"));
    }
    regions(settings, path, found);
}

/// The first of the labels that is one of topology alone; with a value it is any other label.
fn topology(settings: &Node) -> Option<usize> {
    let is_topology = |label: &Node| label.text("").is_some_and(|text| TOPOLOGY.contains(&text));
    settings.list("failoverPriority").iter().position(is_topology)
}

/// A failover that is not from one region to another.
fn regions(settings: &Node, path: &str, found: &mut Vec<Refusal>) {
    for (index, failover) in settings.list("failover").iter().enumerate() {
        let path = format!("{path}.failover[{index}]");
        let (from, to) = (failover.text("from").unwrap_or_default(), failover.text("to").unwrap_or_default());
        if from == to {
            let problem = match from {
                "" => "names no regions".to_owned(),
                _ => format!("from and to are both `{from}`"),
            };
            let fix = "name two regions; from zone to zone in a region, Istio fails over by itself";
            found.push(Refusal::new(&path, problem, fix).of(What::Regions));
        }
        for (name, region) in [("from", from), ("to", to)] {
            if region.contains(['/', '*']) {
                let problem = format!("`{region}` is not the name of a region");
                let fix = "write the region alone, such as `us-east-1`: the first part of region/zone/subzone";
                found.push(Refusal::new(format!("{path}.{name}"), problem, fix).of(What::Regions));
            }
        }
    }
}

/// Weights outside of 1 to 100, or that do not add up to 100.
fn weights(entry: &Node, path: &str) -> Option<Refusal> {
    let weights: Vec<u64> = entry.map("to").iter().map(|(_, weight)| weight.number("").unwrap_or(0)).collect();
    let sum: u64 = weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
    let problem = match sum {
        _ if weights.is_empty() => "names no locality".to_owned(),
        100 if weights.contains(&0) => "has a weight of 0".to_owned(),
        100 => return None,
        _ => format!("the weights add up to {sum}"),
    };
    let fix = "give each locality 1 to 100, together 100; leave out those that are to get nothing";
    Some(Refusal::new(path, problem, fix).of(What::Weights))
}

const PLACES: &str = "write `region`, `region/zone`, `region/zone/subzone`, with a `*` at the end only";

/// What is wrong with the localities to which an entry distributes. The webhook looks at them in no order, so of two of
/// which one holds the other it refuses some always, others by chance.
fn targets(entry: &Node, path: &str) -> Vec<Refusal> {
    let names: Vec<&str> = entry.map("to").iter().map(|(name, _)| name.as_str()).collect();
    let mut found: Vec<Refusal> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        found.extend(place_problem(name).map(|problem| Refusal::new(path, problem, PLACES)));
        let before = names.get(..index).unwrap_or_default();
        if let Some(other) = before.iter().find(|other| excludes(other, name) || excludes(name, other)) {
            let problem = format!("`{name}` and `{other}` overlap");
            let is_certain = excludes(other, name) && excludes(name, other);
            found.push(Refusal { is_certain, ..Refusal::new(path, problem, "name each place once") });
        }
    }
    found
}

/// What is wrong with the name of a locality: istiod's `validateLocalities`.
fn place_problem(name: &str) -> Option<String> {
    let stars = name.matches('*').count();
    if stars > 1 || (stars == 1 && !name.ends_with('*')) {
        return Some(format!("`{name}` has a star that is not at its end"));
    }
    match name {
        "" => Some("names no locality".to_owned()),
        _ if name.splitn(3, '/').any(str::is_empty) => Some(format!("`{name}` has an empty part")),
        _ => None,
    }
}

/// Whether the webhook takes a locality no more that comes after another.
fn excludes(earlier: &str, later: &str) -> bool {
    let parts = |name: &'_ str| name.splitn(3, '/').map(str::to_owned).collect::<Vec<String>>();
    let (earlier, later) = (parts(earlier), parts(later));
    if earlier.first().is_some_and(|region| region == "*") {
        return true;
    }
    if earlier.first() != later.first() {
        return false;
    }
    let is_any = |part: Option<&String>| part.is_none_or(|part| part == "*");
    match later.len() {
        // A region alone, of which something is there.
        1 => true,
        2 => is_any(earlier.get(1)) || earlier.get(1) == later.get(1),
        _ if is_any(earlier.get(1)) => true,
        _ => earlier.get(1) == later.get(1) && (is_any(earlier.get(2)) || earlier.get(2) == later.get(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_place_comes_first() {
        for (earlier, later) in [
            ("*", "r"),
            ("r", "r/z"),
            ("r/z", "r"),
            ("r/*", "r/z"),
            ("r/z", "r/z/s"),
            ("r/z/s", "r/z"),
            ("r/z/*", "r/z/s"),
        ] {
            assert!(excludes(earlier, later), "{earlier} {later}");
        }
        for (earlier, later) in [("r", "*"), ("r/z", "r/*"), ("r/z/s", "r/z/*"), ("r/z", "r/y"), ("r/z", "q/z")] {
            assert!(!excludes(earlier, later), "{earlier} {later}");
        }
    }
}
