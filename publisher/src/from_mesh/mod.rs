//! `--from`: the plugin configuration that a mesh's own rules ask for.
//!
//! The filter judges as Envoy does only if it has Envoy's thresholds. They are in DestinationRules and the MeshConfig, and are
//! taken from there as istiod takes them: [`outlier`] translates a block, [`clusters`] finds out what it holds for. What has no
//! outlier detection gets thresholds of 0, so that no ejection is inferred that Envoy does not make, while its attempts are still
//! counted. What cannot be derived from files (which proxy sees which rule) is said.

pub mod clusters;
pub mod outlier;

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use filter_core::config::{self, MAX_TEXT_BYTES, OutlierDetection};
use serde_json::{Value, json};

use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::mesh::{Mesh, services};
use crate::terminal::output;
use crate::validate;

/// Where the rules are.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration from the mesh's own rules")]
pub struct Rules {
    /// Take the thresholds from these DestinationRules, ServiceEntries and MeshConfig, YAML or JSON as kubectl prints them; can be
    /// given more than once.
    #[arg(long = "from", short = 'f', value_name = "FILE|DIR|-")]
    pub from: Vec<PathBuf>,
    /// Leave the witness off, so that ejections are inferred and Envoy is not asked.
    #[arg(long, requires = "from")]
    pub no_witness: bool,
    /// The domain of the cluster's services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
}

/// The help of `faultline config`.
pub const HELP: &str = "\
Prints the plugin configuration, JSON: one entry for each DestinationRule, port and subset with outlier detection, the more \
special first, and thresholds of 0 for everything else. What had to be decided is said on stderr. `faultline manifest --from` \
writes it into a manifest at once.

Examples:
  kubectl get destinationrules,serviceentries -A -o yaml | faultline config --from -
  faultline config --from mesh/ --from istio-configmap.yaml > faultline.json
  faultline config --from mesh/ --config own.json --no-witness";

/// `faultline config`
#[derive(Debug, Args)]
pub struct Config {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub rules: Rules,
    /// A configuration to start from, JSON: its entries come first, its other settings stay.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs `faultline config`.
///
/// # Errors
/// When a file cannot be read or nothing can be derived.
pub fn run(args: &Config) -> anyhow::Result<Outcome> {
    if args.rules.from.is_empty() {
        return Err(WrongUsage(anyhow!("say with --from which files hold the mesh's rules")).into());
    }
    let mut base = None;
    if let Some(path) = &args.config {
        let text = validate::read(path)?;
        if !text.trim_ascii().is_empty() {
            config::parse(&text).with_context(|| format!("`{}`", path.display()))?;
            base = Some(serde_json::from_slice(&text)?);
        }
    }
    output::json(&configuration(&args.rules, base)?)?;
    Ok(Outcome::Done)
}

/// The configuration for the rules that are named, on top of `base`, an object that the filter accepts. Remarks go to stderr.
///
/// # Errors
/// When a file cannot be read, holds no rules, or more than the filter reads comes out.
pub fn configuration(rules: &Rules, base: Option<Value>) -> anyhow::Result<Value> {
    let mesh = Mesh::read(&rules.from)?;
    if let Some(broken) = mesh.broken.first() {
        let line = broken.place.map_or(String::new(), |place| format!(":{}", place.line));
        bail!("`{}{line}` is not YAML: {}", broken.file, broken.problem);
    }
    let (derived, notes) = derive(&mesh, &rules.cluster_domain)?;
    notes.iter().for_each(|note| output::note(&format!("note: {note}")));
    let merged = merge(base.unwrap_or_else(|| json!({})), derived, !rules.no_witness);
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
            "no DestinationRule is in {}, and no MeshConfig with outlierDetection: there is nothing to take thresholds from",
            mesh.files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(", ")
        );
    }
    let (entries, mut notes) = clusters::entries(mesh, default.as_ref(), domain);
    if default.is_some() {
        notes.push("MeshConfig.defaultTrafficPolicy.outlierDetection is taken for whatever has none of its own; Istio before 1.31 does not know it".into());
    }
    let guarded = entries.iter().filter(|entry| entry.rules.is_some()).count();
    notes.push(format!(
        "DestinationRules read: {rules}; entries with outlier detection: {guarded}; nothing else is ejected"
    ));
    let localities = localities(mesh, &mut notes);
    Ok((Derived { clusters: entries.iter().map(clusters::Entry::written).collect(), localities }, notes))
}

/// The outlier detection that the mesh gives to every service (Istio 1.31).
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

/// Where the addresses are that ServiceEntries and WorkloadEntries list.
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

/// Puts what was derived behind what `base` says; what `base` says stays.
fn merge(mut base: Value, derived: Derived, witness: bool) -> Value {
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
    if witness {
        fields.entry("witness").or_insert_with(|| json!({}));
    }
    base
}
