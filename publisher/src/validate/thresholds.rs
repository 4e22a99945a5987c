//! The rule for thresholds of a plugin's configuration that differ from the mesh's rules beside it (FL311).
//!
//! What the filter infers is right only with Envoy's own thresholds. With the witness it reads those from Envoy, and a
//! configured rule counts until then; without, it stays.

use std::collections::BTreeSet;

use filter_core::config::{self, Config, OutlierDetection};
use serde_json::Value;
use wildmatch::WildMatch;

use super::carrier;
use super::finding::{Draft, Finding, Severity};
use super::known::Known;
use super::rules;
use mesh::lookup::{Client, Merged};
use mesh::policy::Subset;
use mesh::{Mesh, outlier};

/// A name that no service has, in place of a wildcard's star.
const ANY: &str = "any-other-service";

/// Every configuration among the files that differs, in resources and in files of its own.
pub(super) fn check(mesh: &Mesh, known: &Known<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for resource in &mesh.resources {
        let labels = carrier::selected(resource);
        let namespace = Some(resource.namespace()).filter(|namespace| *namespace != known.lookup.root);
        let client = Client { namespace, labels: &labels };
        for (path, text) in carrier::configurations(resource) {
            let draft = differs(&text, client, known);
            found.extend(draft.map(|draft| draft.inside(&path).in_resource(resource)));
        }
    }
    for config in &mesh.configurations {
        let draft = differs(&config.text, Client::default(), known);
        found.extend(draft.map(|draft| draft.in_file(&config.file, config.node.as_ref())));
    }
    found
}

/// A cluster for which the configuration says something else than the mesh's rule.
struct Difference<'a> {
    cluster: String,
    rule: &'a Merged<'a>,
    field: String,
    configured: String,
    envoys: String,
}

fn differs(text: &str, client: Client<'_>, known: &Known<'_>) -> Option<Draft> {
    let config = config::parse(text.as_bytes()).ok()?.config;
    // With a witness, what is not written out is asked for.
    let has_default = config.witness.is_none() || writes_default(text);
    let writes = |cluster: &str| has_default || entry_for(cluster, &config).is_some();
    let all = known.lookup.rules().flat_map(|merged| of_rule(merged, &config, client, known));
    let differences: Vec<Difference<'_>> = all.filter(|difference| writes(&difference.cluster)).collect();
    let first = differences.iter().min_by(|a, b| a.cluster.cmp(&b.cluster))?;
    let path = match entry_for(&first.cluster, &config) {
        Some(index) => format!("clusters[{index}].outlierDetection"),
        None => "outlierDetection".to_owned(),
    };
    let rules: BTreeSet<String> = differences.iter().map(|difference| difference.rule.titles()).collect();
    let more = match rules.len() {
        1 => String::new(),
        2 => "; 1 more rule differs".to_owned(),
        n => format!("; {} more rules differ", n - 1),
    };
    let Difference { cluster, rule, field, configured, envoys } = first;
    let problem = format!("for `{cluster}`, {field} is {configured} here and {envoys} by {}{more}", rule.titles());
    let fix = "derive them anew: `faultline config --from DIR`, or `manifest --from DIR`; or let Envoy be asked: \
        `\"witness\": {}`";
    Some(draft(config.witness.is_some(), path, &problem, fix))
}

/// The finding that thresholds differ, which Envoy's own rule makes good where Envoy is asked.
pub(super) fn draft(is_asked: bool, path: String, problem: &str, fix: &str) -> Draft {
    let (severity, at_run_time) = match is_asked {
        true => (
            Severity::Note,
            "Envoy's own rule holds as soon as the witness has read it; until then the filter goes by this one, and it \
                counts the difference in `faultline_rule_mismatches_total`",
        ),
        false => (
            Severity::Warning,
            "the filter tells ejections and failovers that Envoy does not make, or misses those that it makes",
        ),
    };
    Draft::new(rules::FL311, severity, path, [problem, at_run_time, fix])
}

/// Whether a configuration says how clusters eject that no entry is for.
pub(super) fn writes_default(text: &str) -> bool {
    let value: Option<Value> = serde_json::from_str(text).ok();
    value.is_some_and(|value| value.get("outlierDetection").is_some_and(|block| !block.is_null()))
}

/// The entry by which a cluster goes, if it says how the cluster ejects.
pub(super) fn entry_for(cluster: &str, config: &Config) -> Option<usize> {
    let mut entries = config.clusters.iter().enumerate();
    let (index, entry) = entries.find(|(_, entry)| WildMatch::new(&entry.pattern).matches(cluster))?;
    entry.outlier_detection.as_ref().map(|_| index)
}

/// The differences of one rule's clusters, if the proxies get the rule.
fn of_rule<'a>(
    merged: &'a Merged<'a>,
    config: &Config,
    client: Client<'_>,
    known: &'a Known<'_>,
) -> Vec<Difference<'a>> {
    let host = merged.host.replacen('*', ANY, 1);
    let mut namespaces = known.services.namespaces_of(&host, known.domain);
    if namespaces.is_empty() {
        namespaces.push(merged.namespace);
    }
    let gets = known.lookup.rule_for(client, &host, namespaces.into_iter());
    if !gets.is_some_and(|gets| gets.is_of_the_same(merged)) {
        return Vec::new();
    }
    let policy = merged.policy();
    let taken: BTreeSet<u64> = policy.ports().into_iter().collect();
    let service = known.services.get(&host);
    let free = service.and_then(|service| service.ports.iter().copied().find(|port| !taken.contains(port)));
    // Where every port has settings of its own, no cluster goes by the host's.
    let has_free = service.is_none_or(|service| service.ports.is_empty()) || free.is_some();
    let free = free.or_else(|| (80..).find(|port| !taken.contains(port)));
    let mut found = Vec::new();
    for (port, subset) in policy.scopes() {
        if port.is_none() && !has_free {
            continue;
        }
        let block = policy.block("outlierDetection", port, subset);
        let Ok(envoys) = block.map(|block| outlier::translate(block.node)).transpose() else { continue };
        let envoys = envoys.or_else(|| known.mesh_detection.clone());
        let cluster = name(port.or(free).unwrap_or_default(), subset, &host);
        let Some(configured) = config.rules_for(&cluster) else { continue };
        if let Some((field, configured, envoys)) = first_difference(configured, envoys.as_ref()) {
            found.push(Difference { cluster, rule: merged, field, configured, envoys });
        }
    }
    found
}

fn name(port: u64, subset: Option<&Subset<'_>>, host: &str) -> String {
    format!("outbound|{port}|{}|{host}", subset.map_or("", |subset| &subset.name))
}

/// The first field in which two rules differ: its name, as configured, as Envoy has it.
pub(super) fn first_difference(
    configured: &OutlierDetection,
    envoys: Option<&OutlierDetection>,
) -> Option<(String, String, String)> {
    let ejects = |rules: &&OutlierDetection| {
        rules.consecutive5xx_errors > 0
            || rules.consecutive_gateway_errors > 0
            || rules.split_external_local_origin_errors
    };
    let (own, other) = (Some(configured).filter(ejects), envoys.filter(ejects));
    if own.is_none() && other.is_none() {
        return None;
    }
    let (own, other) = (outlier::written(own), outlier::written(other));
    let text = |rules: &Value, field: &str| match rules.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "not set".to_owned(),
    };
    let fields: BTreeSet<&String> = own.as_object()?.keys().chain(other.as_object()?.keys()).collect();
    // Where one of them ejects nothing, its times are not set, and that is not the difference.
    let (thresholds, rest): (Vec<&String>, Vec<&String>) =
        fields.into_iter().partition(|field| field.starts_with("consecutive") || field.starts_with("split"));
    let mut fields = thresholds.into_iter().chain(rest);
    let field = fields.find(|field| own.get(field.as_str()) != other.get(field.as_str()))?;
    Some((field.clone(), text(&own, field), text(&other, field)))
}
