//! `faultline validate`: lints plugin configurations and mesh rules.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use findings::rule;
use mesh::{Mesh, kinds};

use crate::commands::options::{Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::commands::plugin_config;
use crate::terminal::output::{self, Written};
use crate::validate::finding::Severity;
use crate::validate::report::Report;
use crate::validate::{self, pinned, report, rules};

/// The end of the help.
pub(crate) const HELP: &str = "\
Reads plugin configurations (JSON), the resources that carry one (WasmPlugin, TrafficExtension, EnvoyFilter, \
EnvoyExtensionPolicy, an Envoy bootstrap), and the mesh's rules: DestinationRule, ServiceEntry, MeshConfig. Services, \
EndpointSlices, WorkloadEntries, Nodes and Gateways among the files are not judged, but make it know more; files in \
which nothing is judged are named. `-` is standard input; of a directory, every .yaml, .yml and .json.

Exits with 3 if there are errors or warnings; notes alone leave it at 0. --output sarif is for code scanning.

Examples:
  faultline validate faultline.json
  faultline validate mesh/ faultline.yaml
  kubectl get destinationrules,serviceentries,services,endpointslices -A -o yaml | faultline validate -
  faultline validate mesh/ --output sarif > faultline.sarif
  helm template web chart/ | faultline validate - --namespace shop
  faultline validate --explain FL101";

/// `faultline validate`
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Plugin configurations, JSON, and resources, YAML or JSON.
    #[arg(required_unless_present = "explain", value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    /// Print the page of a rule, such as FL101.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["files", "registry"])]
    pub(crate) explain: Option<String>,
    /// Ask the registries about the digests that are pinned.
    #[arg(long)]
    pub(crate) registry: bool,
    /// The domain of the cluster's services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// The namespace of resources that name none, as in `kubectl apply --namespace`.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Checks every file, even if earlier ones have findings.
///
/// # Errors
/// When a file cannot be read.
pub(crate) async fn run(args: Validate, format: Written) -> anyhow::Result<Outcome> {
    if let Some(code) = &args.explain {
        let rule = rule::find(rules::ALL, code).ok_or_else(|| {
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
    if let Some(namespace) = &args.namespace {
        mesh.put_in(namespace);
    }
    let mut findings = validate::judge(&mesh, &args.cluster_domain);
    let pinned = pinned::pinned(&mesh);
    if args.registry {
        findings.extend(pinned::check(pinned, &args.transport.access(), plugin_config::remark).await);
    } else if !pinned.is_empty() {
        output::note("note: the registry was not asked about pinned digests; --registry does");
    }
    say_what_was_not_read(&mesh);
    let reports = report::by_file(&mesh, findings);
    match format {
        Written::Json => output::json(&reports)?,
        Written::Sarif => output::json(&report::sarif(&reports))?,
        Written::Text => {
            let text = report::text(&reports);
            if !text.is_empty() {
                output::result(&text)?;
            }
        }
    }
    if let Some(error) = unreadable {
        return Err(error);
    }
    let count =
        |severity| reports.iter().flat_map(|report| &report.findings).filter(|f| f.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    output::note(&format!(
        "{} checked{}: {}, {}, {}",
        plural(reports.len(), "file"),
        say_what_was_not_judged(&mesh, &reports),
        plural(errors, "error"),
        plural(warnings, "warning"),
        plural(notes, "note")
    ));
    Ok(if errors + warnings == 0 { Outcome::Done } else { Outcome::Findings })
}

/// What lies in a directory and is neither a resource nor a configuration; where such was meant, it is a finding.
fn say_what_was_not_read(mesh: &Mesh) {
    let beside: Vec<&str> = mesh.unread.iter().filter(|it| !it.is_meant).map(|it| &*it.file).collect();
    if let Some((first, more)) = beside.split_first() {
        let others = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        output::note(&format!(
            "note: {} neither resources nor plugin configurations, not checked: {first}{others}",
            plural(beside.len(), "document")
        ));
    }
}

/// The files of which no rule looks into anything: a note that names them, and what the last line says of them.
fn say_what_was_not_judged(mesh: &Mesh, reports: &[Report]) -> String {
    const NAMED: usize = 3;
    let kinds = kinds::by_file(mesh);
    let of_kinds = |report: &Report| {
        kinds.get(report.file.as_str()).map(|kinds| format!("{} ({})", report.file, kinds.join(", ")))
    };
    let not_judged: Vec<String> = reports.iter().filter(|it| !it.judged).filter_map(of_kinds).collect();
    if not_judged.is_empty() {
        return String::new();
    }
    let more = not_judged.len().saturating_sub(NAMED);
    let named: Vec<&str> = not_judged.iter().take(NAMED).map(String::as_str).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    output::note(&format!("note: no rule is for what is in {}{more}", named.join(", ")));
    format!(", {} of them with nothing to judge", not_judged.len())
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
