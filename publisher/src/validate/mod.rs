//! `faultline validate`: will these configurations and rules do what they say?
//!
//! Each finding tells what will happen at run time and what to write instead. A rule has a code, a page ([`rules`]) and a place among the
//! groups: [`plugin`] (plugin configurations), [`carrier`] (resources that carry a plugin), [`outlier`], [`locality`] and [`hosts`]
//! (DestinationRules and the MeshConfig), [`pinned`] (what only a registry knows). This file reads, runs them and counts.
//!
//! Deliberately not here: what the API server's schemas say anyway.

mod carrier;
pub mod finding;
mod hosts;
mod locality;
mod outlier;
mod pinned;
mod plugin;
mod report;
pub mod rules;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use filter_core::config::MAX_TEXT_BYTES;

use crate::commands::options::{Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::mesh::policy::HostRules;
use crate::mesh::services::{Service, Services};
use crate::mesh::{Mesh, Resource, host};
use crate::terminal::output::{self, Written};
use finding::{Draft, Finding, Severity};

/// The help of `faultline validate`.
pub const HELP: &str = "\
Reads plugin configurations (JSON), the resources that carry one (WasmPlugin, TrafficExtension, EnvoyFilter, EnvoyExtensionPolicy, an \
Envoy bootstrap), and the mesh's rules: DestinationRule, ServiceEntry, MeshConfig. Services, EndpointSlices, WorkloadEntries, Nodes \
and Gateways among the files are not judged, but make it know more. `-` is standard input; of a directory, every .yaml, .yml and \
.json.

Exits with 3 if there are errors or warnings; notes alone leave it at 0. --output sarif is for code scanning.

Examples:
  faultline validate faultline.json
  faultline validate mesh/ faultline.yaml
  kubectl get destinationrules,serviceentries,services,endpointslices -A -o yaml | faultline validate -
  faultline validate mesh/ --output sarif > faultline.sarif
  faultline validate --explain FL101";

/// `faultline validate`
#[derive(Debug, Args)]
pub struct Validate {
    /// Plugin configurations and resources, YAML or JSON.
    #[arg(required_unless_present = "explain", value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Print the page of a rule, such as FL101.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["files", "registry"])]
    pub explain: Option<String>,
    /// Ask the registries about the digests that are pinned.
    #[arg(long)]
    pub registry: bool,
    /// The domain of the cluster's services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

/// What rules may ask about the rest of the files.
struct Known<'a> {
    services: Services,
    domain: &'a str,
    namespaces: BTreeSet<&'a str>,
    /// Whether the nodes are among the files, so that no locality is missing.
    all_localities: bool,
    /// Whether the mesh gives outlier detection to every service.
    mesh_detects: bool,
    /// Whether the mesh turns locality load balancing off.
    locality_off: bool,
}

/// Runs it. Every file is looked at, whatever is wrong with those before it.
///
/// # Errors
/// When a file cannot be read.
pub async fn run(args: Validate, format: Written) -> anyhow::Result<Outcome> {
    if let Some(code) = &args.explain {
        let rule = rules::find(code).ok_or_else(|| {
            let codes: Vec<&str> = rules::ALL.iter().map(|rule| rule.code).collect();
            WrongUsage(anyhow!("--explain `{code}`: there is no such rule; there are {}", codes.join(", ")))
        })?;
        output::result(rule.page)?;
        return Ok(Outcome::Done);
    }
    let mut mesh = Mesh::default();
    let mut unreadable = None;
    for path in &args.files {
        match mesh.add(path) {
            Ok(()) => {}
            Err(error) if unreadable.is_none() => unreadable = Some(error),
            Err(error) => output::note(&format!("error: {error:#}")),
        }
    }
    let mut findings = judge(&mesh, &args.cluster_domain);
    let pinned = pinned::pinned(&mesh);
    if args.registry {
        findings.extend(pinned::check(pinned, &args.transport).await);
    } else if !pinned.is_empty() {
        output::note("note: the registry was not asked about pinned digests; --registry does");
    }
    let reports = report::by_file(&mesh.files, findings);
    let text = match format {
        Written::Json => serde_json::to_string_pretty(&reports)?,
        Written::Sarif => serde_json::to_string_pretty(&report::sarif(&reports))?,
        Written::Text => report::text(&reports),
    };
    if !text.is_empty() {
        output::result(&text)?;
    }
    if let Some(error) = unreadable {
        return Err(error);
    }
    let count =
        |severity| reports.iter().flat_map(|report| &report.findings).filter(|f| f.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    output::note(&format!(
        "{} checked: {}, {}, {}",
        plural(reports.len(), "file"),
        plural(errors, "error"),
        plural(warnings, "warning"),
        plural(notes, "note")
    ));
    Ok(if errors + warnings == 0 { Outcome::Done } else { Outcome::Findings })
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Everything that the files alone show.
fn judge(mesh: &Mesh, domain: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for broken in &mesh.broken {
        let draft = Draft {
            rule: rules::FL003,
            severity: Severity::Error,
            path: ".".into(),
            problem: broken.problem.clone(),
            at_run_time: "kubectl refuses the file; nothing in it was checked".into(),
            fix: "correct the syntax at this place".into(),
        };
        findings.push(draft.placed(&broken.file, None, broken.place));
    }
    for config in &mesh.configurations {
        if config.text.trim().is_empty() && config.text.len() <= MAX_TEXT_BYTES {
            output::note(&format!("{}: empty: the defaults apply", config.file));
        }
        let drafts = plugin::check(config.text.as_bytes());
        findings.extend(drafts.into_iter().map(|draft| draft.in_file(&config.file, config.node.as_ref())));
    }
    let known = Known {
        services: Services::of(mesh, domain),
        domain,
        namespaces: hosts::namespaces(mesh),
        all_localities: mesh.resources.iter().any(|r| r.kind == "Node" && r.group.is_empty()),
        mesh_detects: mesh
            .mesh_configs()
            .any(|config| config.node.at("defaultTrafficPolicy.outlierDetection").is_some()),
        locality_off: mesh.mesh_configs().any(|config| config.node.flag("localityLbSetting.enabled") == Some(false)),
    };
    for resource in &mesh.resources {
        let drafts = of_resource(resource, mesh, &known);
        let mut told: Vec<Finding> = Vec::new();
        for finding in drafts.into_iter().map(|draft| draft.in_resource(resource)) {
            // Policies are judged once for each port and subset that they hold for.
            if !told.contains(&finding) {
                told.push(finding);
            }
        }
        findings.extend(told);
    }
    findings.extend(hosts::shared(mesh, &known));
    findings
}

fn of_resource(resource: &Resource, mesh: &Mesh, known: &Known<'_>) -> Vec<Draft> {
    let mut found = carrier::check(resource, mesh);
    if resource.is_istio("DestinationRule") {
        found.extend(outlier::check(resource, known));
        found.extend(hosts::check(resource, known));
        let name = host::full(resource.node.text("spec.host").unwrap_or_default(), resource.namespace(), known.domain);
        let here = known.services.get(&name).and_then(|service: &Service| service.localities.as_ref());
        let rules = HostRules::of(&resource.node);
        for (port, subset) in rules.scopes() {
            if let Some(balancer) = rules.block("loadBalancer", port, subset)
                && let Some(settings) = balancer.node.field("localityLbSetting")
            {
                let path = format!("{}.localityLbSetting", balancer.path);
                found.extend(locality::check(settings, here, known).into_iter().map(|draft| draft.inside(&path)));
            }
        }
    } else if resource.kind == crate::mesh::MESH_CONFIG {
        if let Some(settings) = resource.node.field("localityLbSetting") {
            let drafts = locality::check(settings, None, known).into_iter();
            found.extend(drafts.map(|draft| draft.inside("localityLbSetting")));
        }
        if let Some(block) = resource.node.at("defaultTrafficPolicy.outlierDetection") {
            let drafts = outlier::of_block(block, "", known).into_iter();
            found.extend(drafts.map(|draft| draft.inside("defaultTrafficPolicy.outlierDetection")));
        }
    }
    found
}

/// Reads a configuration's text, `-` being standard input; no further than the filter would.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = MAX_TEXT_BYTES as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
    Ok(text)
}

/// What makes a configuration one that must not be shipped.
pub fn check(text: &[u8]) -> Vec<Draft> {
    plugin::errors(text)
}
