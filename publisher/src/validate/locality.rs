//! Rules for locality load balancing (FL201 to FL204), in DestinationRules and in the MeshConfig.

use std::collections::BTreeSet;

use super::finding::{Draft, Severity};
use super::known::Known;
use super::rules::{self, Rule};
use crate::yaml::node::Node;

/// Labels with which `failoverPriority` means the same as `failover`.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// Every finding about one `localityLbSetting`; `here` are the localities of the service's endpoints, if all are known.
pub(crate) fn check(settings: &Node, here: Option<&BTreeSet<String>>, known: &Known<'_>) -> Vec<Draft> {
    let mut found = Vec::new();
    exclusive(settings, &mut found);
    regions(settings, &mut found);
    weights(settings, &mut found);
    names(settings, here, known, &mut found);
    found
}

fn refused(rule: Rule, path: String, problem: &str, fix: &str) -> Draft {
    let (problem, fix) = (problem.to_owned(), fix.to_owned());
    let at_run_time = "Istio refuses the resource; what was applied before it stays in force".to_owned();
    Draft { rule, severity: Severity::Error, path, problem, at_run_time, fix }
}

/// FL201: locality settings that exclude each other.
fn exclusive(settings: &Node, found: &mut Vec<Draft>) {
    let has = |name: &str| !settings.list(name).is_empty();
    if has("distribute") && has("failover") {
        found.push(refused(
            rules::FL201,
            "distribute".into(),
            "stands together with failover",
            "keep one: `distribute` sends fixed shares to localities, `failover` says where to go when a region fails",
        ));
    }
    let priorities = settings.list("failoverPriority");
    let is_topology =
        |label: &Node| label.text("").is_some_and(|text| TOPOLOGY.contains(&text.split('=').next().unwrap_or(text)));
    if has("failover")
        && let Some(index) = priorities.iter().position(is_topology)
    {
        found.push(refused(
            rules::FL201,
            format!("failoverPriority[{index}]"),
            "is a label of topology, and stands together with failover",
            "keep one: list the labels in their order in `failoverPriority`, or name regions in `failover`",
        ));
    }
}

/// FL202: a failover that is not from one region to another.
fn regions(settings: &Node, found: &mut Vec<Draft>) {
    for (index, failover) in settings.list("failover").iter().enumerate() {
        let (from, to) = (failover.text("from").unwrap_or_default(), failover.text("to").unwrap_or_default());
        if from == to {
            let problem = format!("from and to are both `{from}`");
            let fix = "name two regions; from zone to zone in a region, Istio fails over by itself";
            found.push(refused(rules::FL202, format!("failover[{index}]"), &problem, fix));
        }
        for (name, region) in [("from", from), ("to", to)] {
            if region.contains(['/', '*']) {
                let problem = format!("`{region}` is not the name of a region");
                let fix = "write the region alone, such as `us-east-1`: the first part of region/zone/subzone";
                found.push(refused(rules::FL202, format!("failover[{index}].{name}"), &problem, fix));
            }
        }
    }
}

/// FL204: weights that do not add up to 100.
fn weights(settings: &Node, found: &mut Vec<Draft>) {
    for (index, distribute) in settings.list("distribute").iter().enumerate() {
        let weights: Vec<u64> = distribute.map("to").iter().map(|(_, weight)| weight.number("").unwrap_or(0)).collect();
        let sum: u64 = weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
        if sum != 100 || weights.contains(&0) {
            let problem = if sum == 100 { "has a weight of 0".into() } else { format!("the weights add up to {sum}") };
            let fix = "give each locality 1 to 100, together 100; leave out those that are to get nothing";
            found.push(refused(rules::FL204, format!("distribute[{index}].to"), &problem, fix));
        }
    }
}

/// FL203: a locality that names nothing. A source locality may have only callers, so it is just a note there.
fn names(settings: &Node, here: Option<&BTreeSet<String>>, known: &Known<'_>, found: &mut Vec<Draft>) {
    let everywhere = &known.services.localities;
    let Some(targets) = here.or(known.all_localities.then_some(everywhere)) else { return };
    let list =
        |localities: &BTreeSet<String>| localities.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    let mut say = |severity, path: String, name: &str, localities: &BTreeSet<String>, at_run_time: &str| {
        if !localities.iter().any(|locality| is_in(locality, name)) {
            found.push(Draft {
                rule: rules::FL203,
                severity,
                path,
                problem: format!("nothing in these files is in `{name}`; there is {}", list(localities)),
                at_run_time: at_run_time.to_owned(),
                fix: "write it as the endpoints' or nodes' labels have it, letter by letter".into(),
            });
        }
    };
    for (index, failover) in settings.list("failover").iter().enumerate() {
        if let Some(to) = failover.text("to").filter(|to| !to.contains(['/', '*'])) {
            let lost = "no endpoint gets the priority that is meant for this region: when the region before fails, \
                traffic \
                        goes to every other region alike";
            say(Severity::Warning, format!("failover[{index}].to"), to, targets, lost);
        }
        if let Some(from) = failover.text("from").filter(|from| !from.contains(['/', '*'])) {
            let unused = "the entry holds for proxies in this region alone, and there may be none";
            say(Severity::Note, format!("failover[{index}].from"), from, everywhere, unused);
        }
    }
    for (index, distribute) in settings.list("distribute").iter().enumerate() {
        for (name, _) in distribute.map("to") {
            let lost = "its share goes to no endpoint; the other localities get all of the traffic";
            say(Severity::Warning, format!("distribute[{index}].to.{name}"), name, targets, lost);
        }
        if let Some(from) = distribute.text("from") {
            let unused = "the entry holds for proxies there alone, and there may be none";
            say(Severity::Note, format!("distribute[{index}].from"), from, everywhere, unused);
        }
    }
}

/// Whether a locality is in the one that a rule names: `region`, `region/zone`, `region/*`, `*`.
fn is_in(locality: &str, place: &str) -> bool {
    let mut parts = locality.split('/');
    place.split('/').all(|wanted| {
        let part = parts.next();
        wanted == "*" || part == Some(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn a_place_holds_what_is_inside_it() {
        for place in ["*", "r", "r/*", "r/z", "r/z/*", "r/z/s"] {
            assert!(is_in("r/z/s", place), "{place}");
        }
        for place in ["q", "r/y", "r/z/t", "z"] {
            assert!(!is_in("r/z/s", place), "{place}");
        }
    }
}
