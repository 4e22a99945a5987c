//! Implements `--from`: derives the plugin configuration from a mesh's own rules.
//!
//! The filter agrees with Envoy only if it has Envoy's thresholds. They come from DestinationRules and the MeshConfig,
//! read as istiod reads them: [`outlier`] translates a block, [`cluster_entries`] finds the clusters that it applies
//! to. Clusters without outlier detection get thresholds of 0, so that the filter infers no ejection that Envoy does
//! not make but still counts their attempts. What files cannot tell (which proxy sees which rule) is reported in a
//! remark.

pub(crate) mod cluster_entries;

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use filter_core::config::{self, MAX_TEXT_BYTES, OutlierDetection};
use serde_json::{Value, json};

use crate::mesh::{Mesh, outlier, services};

/// Where the mesh's rules are, and how to use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeshRules<'a> {
    /// Files, directories, or `-` for standard input.
    pub(crate) files: &'a [PathBuf],
    /// Whether Envoy is asked about ejections.
    pub(crate) witness: Witness,
    /// The domain of the cluster's services, such as `cluster.local`.
    pub(crate) cluster_domain: &'a str,
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
pub(crate) fn configuration(rules: MeshRules<'_>, base: Option<Value>, remark: impl Fn(&str)) -> anyhow::Result<Value> {
    let mesh = Mesh::read(rules.files)?;
    if let Some(broken) = mesh.broken.first() {
        let line = broken.position.map_or(String::new(), |position| format!(":{}", position.line));
        bail!("`{}{line}` is not YAML: {}", broken.file, broken.problem);
    }
    let (derived, notes) = derive(&mesh, rules.cluster_domain)?;
    notes.iter().for_each(|note| remark(note));
    let merged = merge(base.unwrap_or_else(|| json!({})), derived, rules.witness);
    let text = serde_json::to_vec(&merged)?;
    config::parse(&text).with_context(|| {
        format!("what was derived is no configuration (at most {MAX_TEXT_BYTES} bytes are read); name fewer files")
    })?;
    Ok(merged)
}

struct Derived {
    clusters: Vec<Value>,
    localities: Vec<Value>,
}

fn derive(mesh: &Mesh, domain: &str) -> anyhow::Result<(Derived, Vec<String>)> {
    let default = default_of(mesh)?;
    let rules = mesh.istio("DestinationRule").count();
    if rules == 0 && default.is_none() {
        bail!(
            "no DestinationRule is in {}, and no MeshConfig with outlierDetection: there is nothing to take thresholds \
                from",
            mesh.files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ")
        );
    }
    let (entries, mut notes) = cluster_entries::entries(mesh, default.as_ref(), domain);
    if default.is_some() {
        notes.push(
            "MeshConfig.defaultTrafficPolicy.outlierDetection is taken for whatever has none of its own; Istio \
            before 1.31 does not know it"
                .into(),
        );
    }
    let guarded = entries.iter().filter(|entry| entry.rules.is_some()).count();
    notes.push(format!(
        "DestinationRules read: {rules}; entries with outlier detection: {guarded}; nothing else is ejected"
    ));
    let localities = localities(mesh, &mut notes);
    Ok((Derived { clusters: entries.iter().map(cluster_entries::Entry::written).collect(), localities }, notes))
}

/// The outlier detection that the mesh applies to every service (Istio 1.31).
fn default_of(mesh: &Mesh) -> anyhow::Result<Option<OutlierDetection>> {
    for config in mesh.mesh_configs() {
        if let Some(block) = config.node.at("defaultTrafficPolicy.outlierDetection") {
            let translated = outlier::translate(block).map_err(|(field, problem)| {
                anyhow!("`{}`: defaultTrafficPolicy.outlierDetection.{field}: {problem}", config.file)
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
fn merge(mut base: Value, derived: Derived, witness: Witness) -> Value {
    let Some(fields) = base.as_object_mut() else { return base };
    let none = outlier::written(None);
    fields.entry("outlierDetection").or_insert(none);
    for (name, items) in [("clusters", derived.clusters), ("localities", derived.localities)] {
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
