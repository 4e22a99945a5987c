//! Implements `--from`: derives the plugin configuration from a mesh's own rules.
//!
//! The filter agrees with Envoy only if it has Envoy's thresholds. They come from DestinationRules and the MeshConfig,
//! read as istiod reads them: [`outlier`] translates a block, [`cluster_entries`] finds the clusters that it applies
//! to. Clusters without outlier detection get thresholds of 0, so that the filter infers no ejection that Envoy does
//! not make but still counts their attempts. What files cannot tell (which proxy sees which rule) is reported in a
//! remark.

pub(crate) mod cluster_entries;
mod fates;
mod reach;
mod refused;
mod remarks;
mod share;

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use filter_core::config::{self, MAX_TEXT_BYTES, OutlierDetection};
use serde_json::{Value, json};

use cluster_entries::Entry;
use fates::Fates;
use mesh::lookup::{Client, Lookup};
use mesh::services::{self, Services};
use mesh::{Mesh, outlier};
use reach::Reach;
use refused::Refused;
use remarks::Remarks;

/// Where the mesh's rules are, and how to use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeshRules<'a> {
    /// Files, directories, or `-` for standard input.
    pub(crate) files: &'a [PathBuf],
    /// Whether Envoy is asked about ejections.
    pub(crate) witness: Witness,
    /// The domain of the cluster's services, such as `cluster.local`.
    pub(crate) cluster_domain: &'a str,
    /// The proxies that the configuration is for.
    pub(crate) client: Client<'a>,
    /// Whether it is for a plugin, which in the root namespace is in every proxy of the mesh.
    pub(crate) of_plugin: bool,
}

/// Whether the filter asks Envoy about ejections or only infers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// The filter asks Envoy.
    Asked,
    /// The filter only infers.
    Off,
}

/// Derives the configuration from the given rules on top of `base`, an object that the filter accepts. Decisions that
/// the user should know about go to `remark`.
///
/// # Errors
/// When a file cannot be read, no rules are found, or the result is larger than the filter reads.
pub(crate) fn configuration(
    mut rules: MeshRules<'_>,
    base: Option<Value>,
    remark: impl Fn(&str),
) -> anyhow::Result<Configuration> {
    let mut mesh = Mesh::read(rules.files)?;
    if let Some(broken) = mesh.broken.iter().find(|broken| !broken.is_json) {
        let line = broken.position.map_or(String::new(), |position| format!(":{}", position.line));
        bail!("`{}{line}` is not YAML: {}", broken.file, broken.problem);
    }
    if rules.of_plugin && rules.client.namespace == Some(mesh.root()) {
        rules.client.namespace = None;
    }
    if let Some(namespace) = rules.client.namespace {
        mesh.put_in(namespace);
    }
    let refused = Refused::take(&mut mesh);
    let base = base.unwrap_or_else(|| json!({}));
    let services = Services::of(&mesh, rules.cluster_domain);
    let (mut derived, notes) = derive(&mesh, &services, rules, &refused)?;
    let written = |derived: &Derived| merge(base.clone(), derived, rules.witness);
    let mut merged = written(&derived);
    let mut once = None;
    if serde_json::to_vec(&merged)?.len() > MAX_TEXT_BYTES {
        let (clusters, stands_for) = share::once(derived.clusters, &services, rules.cluster_domain);
        derived.clusters = clusters;
        merged = written(&derived);
        once = (stands_for > 0).then(|| {
            format!(
                "more than the filter reads, so equal entries are written once for all services of a namespace \
                 ({stands_for} services): one that is not among these files gets them too"
            )
        });
    }
    notes.iter().chain(&once).for_each(|note| remark(note));
    let text = serde_json::to_vec(&merged)?;
    config::parse(&text).with_context(|| too_large(text.len()))?;
    // With a witness, Envoy's own rules count, and these only until it answers.
    let is_whole = rules.witness == Witness::Asked || (derived.is_whole && once.is_none());
    Ok(Configuration { value: merged, is_whole })
}

/// A derived configuration.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// The plugin's configuration.
    pub(crate) value: Value,
    /// Whether all is in it that its result depends on: nothing was left out or assumed, or Envoy is asked.
    pub(crate) is_whole: bool,
}

fn too_large(bytes: usize) -> String {
    if bytes <= MAX_TEXT_BYTES {
        return "what was derived is no configuration".to_owned();
    }
    format!(
        "what was derived is no configuration: it has {bytes} bytes, and at most {MAX_TEXT_BYTES} are read. Give the \
         Services too (`kubectl get destinationrules,serviceentries,services -A -o yaml`), so that equal entries of a \
         namespace can be written once; or derive for the proxies of one namespace with --namespace, where rules are \
         not exported to all; or let Envoy be asked, for which `{{\"witness\": {{}}}}` is enough"
    )
}

struct Derived {
    clusters: Vec<Entry>,
    localities: Vec<Value>,
    /// Whether nothing was left out or assumed.
    is_whole: bool,
}

fn derive(
    mesh: &Mesh,
    services: &Services,
    from: MeshRules<'_>,
    refused: &Refused,
) -> anyhow::Result<(Derived, Vec<String>)> {
    let default = default_of(mesh)?;
    let rules = mesh.distinct("DestinationRule");
    let meant: Vec<&mesh::Unread> = mesh.unread.iter().filter(|unread| unread.is_meant).collect();
    let not_read = remarks::not_read(&meant);
    if rules.is_empty() && default.is_none() && refused.rules == 0 {
        bail!(
            "no DestinationRule is in {}, and no MeshConfig with outlierDetection: there is nothing to take thresholds \
                from{}",
            mesh.files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", "),
            not_read.map_or_else(String::new, |not_read| format!("; {not_read}"))
        );
    }
    let mut notes = Vec::new();
    let lookup = Lookup::of(mesh, from.cluster_domain);
    let mut remarks = Remarks::default();
    let reach = Reach {
        lookup: &lookup,
        services,
        client: from.client,
        default: default.as_ref(),
        domain: from.cluster_domain,
    };
    let mut entries = reach.entries(&mut remarks);
    entries.extend(default.clone().map(Entry::of_mesh));
    let entries = cluster_entries::needed(cluster_entries::first_of_each(entries));
    notes.extend(remarks.decided(mesh, services));
    notes.extend(remarks::not_completed(&rules, services, from.cluster_domain));
    let (left_out, count) = remarks.left_out(&lookup, from.client);
    notes.extend(left_out);
    notes.extend(refused.named());
    if default.is_some() {
        notes.push(
            "MeshConfig.defaultTrafficPolicy.outlierDetection is taken for whatever has none of its own; Istio \
            before 1.31 does not know it"
                .into(),
        );
    }
    let others = mesh.other_mesh_configs();
    if let Some(other) = others.first() {
        notes.push(format!(
            "MeshConfigs of several control planes say different things ({} and another); they are read as one, and of \
             what both say the first counts: give those of one",
            other.title()
        ));
    }
    notes.extend(not_read);
    let beside = mesh.unread.len() - meant.len() + mesh.configurations.len();
    if beside > 0 {
        notes.push(format!("{beside} of the files or documents are no resources, and not read"));
    }
    let guarded = entries.iter().filter(|entry| entry.rules.is_some()).count();
    let fates = Fates::of(&rules, refused.rules, &remarks);
    notes.extend(fates::mistyped(mesh));
    notes.extend(fates.named());
    notes.push(format!("{}; entries with outlier detection: {guarded}; nothing else is ejected", fates.counted()));
    let localities = localities(mesh, &mut notes);
    let is_whole = count == 0 && meant.is_empty() && refused.is_empty() && !remarks.assumed(mesh) && others.is_empty();
    Ok((Derived { clusters: entries, localities, is_whole }, notes))
}

/// The outlier detection that the mesh applies to every service (Istio 1.31).
fn default_of(mesh: &Mesh) -> anyhow::Result<Option<OutlierDetection>> {
    for config in mesh.mesh_configs() {
        if let Some(block) = config.node.at("defaultTrafficPolicy.outlierDetection") {
            let translated = outlier::translate(block).map_err(|problems| {
                let told: Vec<String> = problems.iter().map(|(field, problem)| format!("{field}: {problem}")).collect();
                anyhow!("`{}`: defaultTrafficPolicy.outlierDetection: {}", config.file, told.join("; "))
            })?;
            return Ok(Some(translated));
        }
    }
    Ok(None)
}

/// The localities of the addresses that ServiceEntries and WorkloadEntries list.
fn localities(mesh: &Mesh, notes: &mut Vec<String>) -> Vec<Value> {
    let mut found: Vec<(IpAddr, String)> = Vec::new();
    let mut endpoints = services::located(mesh);
    endpoints.sort();
    for services::Located { address, locality } in endpoints {
        let Ok(address) = address.parse::<IpAddr>() else { continue };
        match found.iter().find(|(known, _)| *known == address) {
            Some((_, known)) if *known != locality => {
                notes.push(format!("{address} is said to be in {known} and in {locality}; taken is the first"));
            }
            Some(_) => {}
            None => found.push((address, locality)),
        }
    }
    found.sort();
    let written = |(address, locality): (IpAddr, String)| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        json!({"cidr": format!("{address}/{bits}"), "locality": locality})
    };
    found.into_iter().map(written).collect()
}

/// Appends what was derived to `base`, whose own values take precedence.
fn merge(mut base: Value, derived: &Derived, witness: Witness) -> Value {
    let Some(fields) = base.as_object_mut() else { return base };
    let none = outlier::written(None);
    fields.entry("outlierDetection").or_insert(none);
    let clusters = derived.clusters.iter().map(Entry::written).collect();
    for (name, items) in [("clusters", clusters), ("localities", derived.localities.clone())] {
        let list = fields.entry(name).or_insert_with(|| json!([]));
        match list.as_array_mut() {
            Some(list) => list.extend(items),
            None => *list = items.into(),
        }
        if fields.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            fields.remove(name);
        }
    }
    if witness == Witness::Asked {
        fields.entry("witness").or_insert_with(|| json!({}));
    }
    base
}
