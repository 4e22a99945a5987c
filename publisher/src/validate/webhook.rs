//! What Istio's validating webhook refuses besides values of outlier detection (FL111): blocks without a field, lists
//! of namespaces that contradict themselves, subsets with one name.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Draft, Severity};
use super::rules;
use mesh::Resource;
use mesh::yaml::node::{Node, Value};

/// The fields of which a policy must have one; the webhook counts no others.
const OF_POLICY: [&str; 8] = [
    "loadBalancer",
    "connectionPool",
    "outlierDetection",
    "tls",
    "portLevelSettings",
    "tunnel",
    "proxyProtocol",
    "retryBudget",
];
/// The same for the settings of a port.
const OF_PORT: [&str; 4] = ["loadBalancer", "connectionPool", "outlierDetection", "tls"];

/// Every finding about one DestinationRule or ServiceEntry.
pub(super) fn check(resource: &Resource) -> Vec<Draft> {
    let is_rule = resource.is_istio("DestinationRule");
    if !is_rule && !resource.is_istio("ServiceEntry") {
        return Vec::new();
    }
    let mut found = exports(resource, is_rule);
    if is_rule {
        policy(&resource.node, "spec.trafficPolicy", &mut found);
        for index in 0..resource.node.list("spec.subsets").len() {
            policy(&resource.node, &format!("spec.subsets[{index}].trafficPolicy"), &mut found);
        }
        found.extend(same_subset(&resource.node));
    } else if resource.node.text("spec.resolution") == Some("DNS_ROUND_ROBIN") {
        let endpoints = resource.node.list("spec.endpoints").len();
        found.extend((endpoints > 1).then(|| {
            let problem = format!("has {endpoints} endpoints, and the resolution is DNS_ROUND_ROBIN");
            refused("spec.endpoints".into(), &problem, "keep one endpoint, or set `resolution: DNS`")
        }));
    }
    found
}

fn refused(path: String, problem: &str, fix: &str) -> Draft {
    let words = [problem, "Istio's webhook refuses the resource; what was applied before it stays in force", fix];
    Draft::new(rules::FL111, Severity::Error, path, words)
}

/// A policy, settings of its ports or connection limits without any field.
fn policy(node: &Node, path: &str, found: &mut Vec<Draft>) {
    let Some(policy) = node.at(path) else { return };
    let fix = "remove it, or write what it is to set";
    found.extend(without(policy, &OF_POLICY).map(|problem| refused(path.to_owned(), problem, fix)));
    let mut blocks = vec![(path.to_owned(), policy)];
    for (index, settings) in policy.list("portLevelSettings").iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{index}]");
        found.extend(without(settings, &OF_PORT).map(|problem| refused(path.clone(), problem, fix)));
        if settings.field("port").is_none() {
            found.push(refused(path.clone(), "names no port", "write `port: {number: 80}`"));
        }
        blocks.push((path, settings));
    }
    for (path, block) in blocks {
        let pool = block.field("connectionPool").and_then(|pool| without(pool, &["tcp", "http"]));
        found.extend(pool.map(|problem| refused(format!("{path}.connectionPool"), problem, fix)));
        found.extend(warmup(block).map(|(field, problem, fix)| refused(format!("{path}.{field}"), problem, fix)));
    }
}

/// What is wrong with a block that must have one of these fields.
fn without(block: &Node, fields: &[&str]) -> Option<&'static str> {
    let Value::Map(own) = &block.value else { return None };
    let has = fields.iter().any(|field| block.field(field).is_some());
    let problem = if own.is_empty() { "is empty" } else { "has none of the fields that count" };
    (!has).then_some(problem)
}

fn warmup(block: &Node) -> Option<(&'static str, &'static str, &'static str)> {
    let warmup = block.at("loadBalancer.warmup")?;
    if warmup.field("duration").is_none() {
        return Some(("loadBalancer.warmup", "has no duration", "write `duration: 30s`, or remove `warmup`"));
    }
    let percent = warmup.number("minimumPercent").filter(|percent| *percent > 100);
    percent.map(|_| ("loadBalancer.warmup.minimumPercent", "is more than 100", "write a percentage from 0 to 100"))
}

/// Two subsets with one name.
fn same_subset(node: &Node) -> Option<Draft> {
    let mut seen = BTreeSet::new();
    let names = node.list("spec.subsets").iter().map(|subset| subset.text("name")).enumerate();
    let (index, name) = names.filter_map(|(index, name)| Some((index, name?))).find(|(_, name)| !seen.insert(*name))?;
    let problem = format!("`{name}` is the name of an earlier subset too");
    Some(refused(format!("spec.subsets[{index}].name"), &problem, "give each subset a name of its own"))
}

/// What an `exportTo` says twice, or against itself.
fn exports(resource: &Resource, is_rule: bool) -> Vec<Draft> {
    let list: Vec<&str> = resource.node.list("spec.exportTo").iter().filter_map(|item| item.text("")).collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, text) in list.iter().copied().enumerate() {
        // A dot stands for the resource's own namespace.
        let namespace = if text == "." { resource.namespace.as_deref().unwrap_or(".") } else { text };
        let path = format!("spec.exportTo[{index}]");
        match seen.insert(namespace, text) {
            Some(earlier) if earlier == text => {
                found.push(refused(path, &format!("`{text}` is there twice"), "name each namespace once"));
            }
            Some(_) => {
                let problem = format!("`.` and `{namespace}` are the same namespace");
                found.push(refused(path, &problem, "name each namespace once"));
            }
            None if text == "~" && is_rule => {
                let fix = "write `.`, for the rule's own namespace";
                found.push(refused(path, "`~` is for ServiceEntries only", fix));
            }
            None if ["*", "~"].contains(&text) && list.len() > 1 => {
                let problem = format!("`{text}` stands beside others");
                found.push(refused(path, &problem, "keep it alone, or name the namespaces"));
            }
            None => {}
        }
    }
    let selects = is_rule && resource.node.at("spec.workloadSelector").is_some();
    let is_own = |to: &str| to == "." || to == resource.namespace();
    if selects && found.is_empty() && !list.iter().all(|to| is_own(to)) {
        let problem = "names other namespaces, and the rule has a workloadSelector";
        found.push(refused("spec.exportTo".into(), problem, "remove it: such a rule holds in its own namespace only"));
    }
    found
}
