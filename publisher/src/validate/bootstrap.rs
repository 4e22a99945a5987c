//! Rules for an Envoy without a mesh, by its bootstrap (FL311 to FL314).
//!
//! What a control plane will send is not in the file, so what may come from there is no certain error.

use std::collections::BTreeSet;

use filter_core::admin::rules::{EnvoyRule, read};
use filter_core::config::{self, Config};
use filter_core::endpoint::rule::Rule;
use serde_json::{Value, json};

use super::finding::{Draft, Severity};
use super::thresholds::{entry_for, writes_default};
use super::{carrier, rules};
use mesh::yaml::node::{Node, Value as Written};
use mesh::{ENVOY, Resource};

/// Every finding about one bootstrap.
pub(super) fn check(resource: &Resource) -> Vec<Draft> {
    if resource.kind != ENVOY {
        return Vec::new();
    }
    let bootstrap = snake_case(&resource.node);
    let plugins = plugins(&resource.node);
    let mut found = Vec::new();
    for (index, cluster) in clusters(&bootstrap).enumerate() {
        found.extend(never_ejects(cluster).map(|draft| draft.inside(&cluster_path(resource, index))));
    }
    if carrier::has_plugin(&resource.node) {
        found.extend(without_locality(&bootstrap));
    }
    let mut told = BTreeSet::new();
    for (path, text, config) in &plugins {
        // The same configuration stands in the filter and in the log of attempts.
        if told.insert(text) {
            let witness = witness(&bootstrap, config);
            let is_absent = witness.as_ref().is_some_and(|draft| draft.severity == Severity::Error);
            let is_asked = config.witness.is_some() && !is_absent;
            let differs = differs(&bootstrap, text, config, is_asked);
            found.extend(witness.into_iter().chain(differs).map(|draft| draft.inside(path)));
        }
    }
    found
}

/// The plugin's configurations that the filter accepts: path, text, and what the filter reads.
fn plugins(bootstrap: &Node) -> Vec<(String, String, Config)> {
    let mut found = Vec::new();
    carrier::of_envoy(bootstrap, "", &mut |_, path, text| {
        let text = text.unwrap_or_default();
        found.extend(config::parse(text.as_bytes()).ok().map(|parsed| (path, text, parsed.config)));
    });
    found
}

fn clusters(bootstrap: &Value) -> impl Iterator<Item = &Value> {
    bootstrap["static_resources"]["clusters"].as_array().into_iter().flatten()
}

fn name(cluster: &Value) -> &str {
    cluster["name"].as_str().unwrap_or_default()
}

/// A cluster's path as the file has it.
fn cluster_path(resource: &Resource, index: usize) -> String {
    let resources = ["static_resources", "staticResources"].into_iter().find(|name| resource.node.at(name).is_some());
    format!("{}.clusters[{index}]", resources.unwrap_or_default())
}

/// FL312: the cluster through which Envoy is to be asked is not there, or does not lead to Envoy.
fn witness(bootstrap: &Value, config: &Config) -> Option<Draft> {
    let witness = config.witness.as_ref()?;
    if let Some(cluster) = clusters(bootstrap).find(|cluster| name(cluster) == witness.cluster) {
        return unanswered(bootstrap, cluster);
    }
    let dynamic = bootstrap["dynamic_resources"].as_object();
    let is_asked_for = dynamic.is_some_and(|fields| fields.keys().any(|name| name.starts_with("cds_")));
    let (severity, unsure) = match is_asked_for {
        false => (Severity::Error, ""),
        true => (Severity::Note, ", if the control plane sends none of this name either"),
    };
    let problem = format!("no cluster of static_resources is named `{}`", witness.cluster);
    let at_run_time = format!(
        "Envoy cannot be asked (`faultline_witness_polls_total`, result `no_cluster`){unsure}: ejections are inferred, \
         by the thresholds written here or Envoy's defaults, and those that retries hide are not seen"
    );
    let fix = "add a cluster of this name that leads to the address in `admin`, or name the one that does";
    Some(Draft::new(rules::FL312, severity, "witness.cluster".into(), [&problem, &at_run_time, fix]))
}

/// FL312: the cluster is there, and no admin interface answers behind it.
fn unanswered(bootstrap: &Value, cluster: &Value) -> Option<Draft> {
    let name = name(cluster);
    let path = || "witness.cluster".to_owned();
    let admin = &bootstrap["admin"]["address"];
    if !admin.is_object() {
        let problem = format!("`{name}` leads to Envoy's admin interface, and the file has no `admin` with an address");
        let at_run_time = "Envoy opens no admin interface, so nobody answers (`faultline_witness_polls_total`, result \
            `failed`): ejections are inferred, by the thresholds written here or Envoy's defaults, and those that \
            retries hide are not seen";
        let fix = "add `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}`, and let the \
            cluster lead there";
        return Some(Draft::new(rules::FL312, Severity::Error, path(), [&problem, at_run_time, fix]));
    }
    let port = |address: &Value| address["socket_address"]["port_value"].as_u64();
    let groups = cluster["load_assignment"]["endpoints"].as_array().into_iter().flatten();
    let endpoints = groups.flat_map(|group| group["lb_endpoints"].as_array().into_iter().flatten());
    let ports: Vec<u64> = endpoints.filter_map(|endpoint| port(&endpoint["endpoint"]["address"])).collect();
    let (open, first) = (port(admin)?, ports.first()?);
    if ports.contains(&open) {
        return None;
    }
    let problem = format!("`{name}` leads to port {first}, and the admin interface is at port {open}");
    let at_run_time = "unless something else hands questions on to the admin interface, Envoy cannot be asked: \
        ejections are inferred, and those that retries hide are not seen";
    let fix = "let the cluster lead to the address in `admin`";
    Some(Draft::new(rules::FL312, Severity::Note, path(), [&problem, at_run_time, fix]))
}

/// FL313: the proxy does not know where it is.
fn without_locality(bootstrap: &Value) -> Option<Draft> {
    let locality = &bootstrap["node"]["locality"];
    let is_told = ["region", "zone"].iter().any(|name| locality[name].as_str().is_some_and(|text| !text.is_empty()));
    let words = [
        "has no locality",
        "home is the locality of priority 0, in clusters whose localities have priorities; in others no failover is \
         told, as every endpoint is equally near",
        "write where this proxy is: `locality: {region: …, zone: …}`",
    ];
    (!is_told).then(|| Draft::new(rules::FL313, Severity::Note, "node".into(), words))
}

/// FL314: endpoints in several localities, and nothing that takes one out.
fn never_ejects(cluster: &Value) -> Option<Draft> {
    let has = |name: &str| match &cluster[name] {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    if has("outlier_detection") || has("health_checks") {
        return None;
    }
    let groups = || cluster["load_assignment"]["endpoints"].as_array().into_iter().flatten();
    let filled = groups().filter(|group| group["lb_endpoints"].as_array().is_some_and(|list| !list.is_empty()));
    let localities: BTreeSet<String> = filled.map(|group| group["locality"].to_string()).collect();
    if localities.len() < 2 {
        return None;
    }
    let problem =
        format!("`{}` has endpoints in {} localities, and no outlier_detection", name(cluster), localities.len());
    let words = [
        problem.as_str(),
        "Envoy takes no endpoint out, so requests go on failing where endpoints fail: nothing is ejected, and traffic \
         does not fail over",
        "add `outlier_detection` with `max_ejection_percent: 100`, or `health_checks`",
    ];
    Some(Draft::new(rules::FL314, Severity::Warning, ".".into(), words))
}

/// FL311: the configuration says other thresholds than a cluster beside it.
fn differs(bootstrap: &Value, text: &str, config: &Config, is_asked: bool) -> Option<Draft> {
    let has_default = !is_asked || writes_default(text);
    let mut differences = Vec::new();
    for cluster in clusters(bootstrap).filter(|cluster| cluster["outlier_detection"].is_object()) {
        let entry = entry_for(name(cluster), config);
        let Some(configured) = config.rules_for(name(cluster)).filter(|_| has_default || entry.is_some()) else {
            continue;
        };
        let path = entry.map_or("outlierDetection".to_owned(), |index| format!("clusters[{index}].outlierDetection"));
        let Some(EnvoyRule { rule, .. }) = rule_of(cluster) else { continue };
        let neither_ejects = !rule.ejects && !rule.by_rate && !Rule::configured(configured).with_ejects().ejects;
        let fields = if neither_ejects { Vec::new() } else { rule.differences(configured) };
        differences.extend((!fields.is_empty()).then(|| (name(cluster), path, fields)));
    }
    let (cluster, path, fields) = differences.first()?;
    let told: Vec<String> =
        fields.iter().map(|(field, ours, envoys)| format!("{field} is {ours} here and {envoys} there")).collect();
    let more = match differences.len() - 1 {
        0 => String::new(),
        1 => "; 1 more cluster differs".to_owned(),
        n => format!("; {n} more clusters differ"),
    };
    let problem = format!("is not the outlier_detection of `{cluster}`: {}{more}", told.join(", "));
    Some(super::thresholds::draft(is_asked, path.clone(), &problem, IN_BOOTSTRAP))
}

const IN_BOOTSTRAP: &str = "write the cluster's own values, under Istio's names (`minHealthPercent` is \
    `healthy_panic_threshold`, 50 by default); with a witness, leave them off";

/// The rule as Envoy's admin interface would show it, read as the filter reads it there.
fn rule_of(cluster: &Value) -> Option<EnvoyRule> {
    let answer = json!({"configs": [{"cluster": cluster}]}).to_string();
    let mut found = None;
    read(answer.as_bytes(), |rule| found = Some(rule)).ok()?;
    found
}

/// A bootstrap may have the fields' names in either of protobuf's forms; this is the one with underscores.
fn snake_case(node: &Node) -> Value {
    match &node.value {
        Written::Scalar(scalar) => scalar.clone(),
        Written::List(items) => Value::Array(items.iter().map(snake_case).collect()),
        Written::Map(fields) => {
            Value::Object(fields.iter().map(|(name, node)| (underscored(name), snake_case(node))).collect())
        }
    }
}

fn underscored(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        let is_number = letter.is_ascii_digit() && text.ends_with(|c: char| c.is_ascii_lowercase());
        if letter.is_ascii_uppercase() || (is_number && name.ends_with("5xx")) {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
