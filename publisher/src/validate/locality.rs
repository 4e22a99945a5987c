//! Rules for locality load balancing (FL201 to FL207), in DestinationRules and in the MeshConfig.

use std::collections::BTreeSet;

use super::finding::{Draft, Severity};
use super::known::{Known, is_in};
use super::rules::{self, Rule};
use crate::mesh::lookup::Client;
use crate::mesh::services::Service;
use crate::yaml::node::{Node, Value};

/// Labels with which `failoverPriority` means the same as `failover`.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// Every finding about one `localityLbSetting`; `service`: the one that it is for, if the files have it.
pub(crate) fn check(settings: &Node, service: Option<&Service>, known: &Known<'_>) -> Vec<Draft> {
    let mut found = Vec::new();
    exclusive(settings, &mut found);
    regions(settings, &mut found);
    weights(settings, &mut found);
    if settings.flag("enabled") == Some(false) {
        found.extend(switched_off(settings));
        return found;
    }
    nothing_stands_in(settings, &mut found);
    names(settings, service, known, &mut found);
    if let Some(service) = service {
        found.extend(left_out(settings, service));
    }
    found
}

/// FL207: locality settings that are switched off.
fn switched_off(settings: &Node) -> Option<Draft> {
    let unused: Vec<&str> = ["failover", "failoverPriority", "distribute"]
        .into_iter()
        .filter(|name| {
            settings.at(name).is_some_and(|node| !matches!(&node.value, Value::List(items) if items.is_empty()))
        })
        .collect();
    let words = [
        &*format!("is false, so {} is never used", unused.join(" and ")),
        "Istio gives endpoints neither priorities nor weights: traffic is spread over all localities, and nothing \
            fails over",
        "remove `enabled: false`, or the settings beside it",
    ];
    (!unused.is_empty()).then(|| Draft::new(rules::FL207, Severity::Warning, "enabled".into(), words))
}

/// FL205: a distribution to one locality, for which nothing stands in.
fn nothing_stands_in(settings: &Node, found: &mut Vec<Draft>) {
    for (index, distribute) in settings.list("distribute").iter().enumerate() {
        let [(name, _)] = distribute.map("to") else { continue };
        if name.split('/').next() != Some("*") {
            let problem = format!("all of the traffic goes to `{name}`, and distribute never fails over");
            let words = [
                problem.as_str(),
                "Istio takes the endpoints of every other locality out of the cluster: when those that are left are \
                    ejected or gone, requests are answered with 503 (`UH`)",
                "use `failover` if another locality is to take over; or name it here too, with a share of its own",
            ];
            found.push(Draft::new(rules::FL205, Severity::Warning, format!("distribute[{index}].to"), words));
        }
    }
}

/// FL206: endpoints without a locality, which a distribution leaves out.
fn left_out(settings: &Node, service: &Service) -> Option<Draft> {
    let entry = distributes_by_name(settings)?;
    let endpoints = service.endpoints.as_ref()?;
    let nowhere = endpoints.iter().filter(|endpoint| endpoint.is_nowhere).count();
    let problem = match nowhere {
        0 => return None,
        n if n == endpoints.len() => "the service's endpoints have no locality".to_owned(),
        n => format!("{n} of the service's {} endpoints have no locality", endpoints.len()),
    };
    let words = [
        problem.as_str(),
        "an endpoint without a locality is in none that `to` names, so Istio takes it out of the cluster for every \
            proxy that `from` covers; without any left, requests are answered with 503 (`UH`)",
        "give the endpoints a `locality`, or the service a rule of its own with `localityLbSetting: {enabled: false}`",
    ];
    Some(Draft::new(rules::FL206, Severity::Warning, format!("distribute[{entry}].to"), words))
}

/// The first entry of `distribute` that names localities, and so leaves out what has none.
fn distributes_by_name(settings: &Node) -> Option<usize> {
    let by_name = |entry: &Node| {
        let to = entry.map("to");
        !to.is_empty() && to.iter().all(|(name, _)| name.split('/').next() != Some("*"))
    };
    settings.list("distribute").iter().position(by_name)
}

/// FL206, of the mesh's settings: the services that they leave out, as no rule has settings of its own for them.
pub(crate) fn left_out_of_mesh(settings: &Node, known: &Known<'_>) -> Option<Draft> {
    let entry = distributes_by_name(settings).filter(|_| settings.flag("enabled") != Some(false))?;
    let has_own = |host: &str| {
        let namespaces = known.services.namespaces_of(host, known.domain);
        let rule = known.lookup.rule_for(Client::default(), host, namespaces.into_iter());
        let balancer = rule.and_then(|rule| rule.policy().block("loadBalancer", None, None));
        balancer.is_some_and(|balancer| balancer.node.field("localityLbSetting").is_some())
    };
    let is_nowhere = |service: &Service| service.endpoints.iter().flatten().any(|endpoint| endpoint.is_nowhere);
    let hosts: Vec<&str> = known
        .services
        .all()
        .filter(|(host, service)| is_nowhere(service) && !has_own(host))
        .map(|(host, _)| host)
        .collect();
    let (first, more) = hosts.split_first()?;
    let others = if more.is_empty() { String::new() } else { format!(" and {} more services", more.len()) };
    let problem = format!("endpoints of `{first}`{others} have no locality");
    let words = [
        problem.as_str(),
        "an endpoint without a locality is in none that `to` names, so Istio takes it out of the cluster for every \
            proxy that `from` covers; without any left, requests are answered with 503 (`UH`)",
        "give the endpoints a `locality`, or the service a DestinationRule with `localityLbSetting: {enabled: false}`",
    ];
    Some(Draft::new(rules::FL206, Severity::Warning, format!("distribute[{entry}].to"), words))
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

/// FL203: a locality that names nothing. A source locality may have only callers, so it is just a note there; so it is
/// where another cluster of the mesh may have what these files lack.
fn names(settings: &Node, service: Option<&Service>, known: &Known<'_>, found: &mut Vec<Draft>) {
    let everywhere: BTreeSet<&str> = known.services.localities.iter().map(String::as_str).collect();
    let here = service.and_then(Service::localities);
    let is_certain = here.is_some() && service.is_some_and(|service| service.is_complete);
    let Some(targets) = here.or_else(|| known.all_localities.then(|| everywhere.clone())) else { return };
    let list = |localities: &BTreeSet<&str>| localities.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
    let unless = if is_certain { "" } else { ", unless another cluster of the mesh has it" };
    let mut say = |severity, path: String, name: &str, localities: &BTreeSet<&str>, at_run_time: &str| {
        if !localities.iter().any(|locality| is_in(locality, name)) {
            found.push(Draft {
                rule: rules::FL203,
                severity: if is_certain { severity } else { Severity::Note },
                path,
                problem: format!("nothing in these files is in `{name}`; there is {}{unless}", list(localities)),
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
            say(Severity::Warning, format!("failover[{index}].to"), to, &targets, lost);
        }
        if let Some(from) = failover.text("from").filter(|from| !from.contains(['/', '*'])) {
            let unused = "the entry holds for proxies in this region alone, and there may be none";
            say(Severity::Note, format!("failover[{index}].from"), from, &everywhere, unused);
        }
    }
    for (index, distribute) in settings.list("distribute").iter().enumerate() {
        for (name, _) in distribute.map("to") {
            let lost = "its share goes to no endpoint; the other localities get all of the traffic";
            say(Severity::Warning, format!("distribute[{index}].to.{name}"), name, &targets, lost);
        }
        if let Some(from) = distribute.text("from") {
            let unused = "the entry holds for proxies there alone, and there may be none";
            say(Severity::Note, format!("distribute[{index}].from"), from, &everywhere, unused);
        }
    }
}
