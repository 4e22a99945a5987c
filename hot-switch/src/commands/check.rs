//! `hot-switch check`: what a bypass would bring back, before any outage.

use hot_switch_core::standing::Mode;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use findings::rule;
use mesh::Mesh;

use super::outcome::Outcome;
use crate::check::finding::Severity;
use crate::check::{self, Options, rules, sarif, text};
use crate::cluster::live;

/// The end of the help.
pub const HELP: &str = "\
Reads what `kubectl get -o yaml` and -o json print, Helm and kustomize render: Pods, Deployments, StatefulSets, \
DaemonSets, Services, Namespaces, PeerAuthentications, AuthorizationPolicies, RequestAuthentications, \
DestinationRules, ServiceEntries, Sidecars, VirtualServices, istiod's ConfigMap. What is missing is assumed, and \
said. `-` is standard input; of a directory, every .yaml, .yml and .json.

Exits with 3 if there are errors or warnings; these are given only of workloads set to `act`. `--mode act` judges all \
as if they were.

Examples:
  hot-switch check mesh/ --mode act
  hot-switch check --live --mode act
  kubectl get ns,po,deploy,sts,ds,svc,peerauthentications,authorizationpolicies,requestauthentications,\
destinationrules,serviceentries,sidecars,virtualservices -A -o yaml | hot-switch check -
  hot-switch check mesh/ --output sarif > hot-switch.sarif
  hot-switch check --explain HS107";

/// What can be typed.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Check {
    /// Resources, YAML or JSON.
    #[arg(required_unless_present_any = ["explain", "live"], value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// Judge what is in the cluster now: of the kubeconfig's current context, or of --context.
    #[arg(long, conflicts_with = "files")]
    live: bool,
    /// The kubeconfig's context, for --live.
    #[arg(long, value_name = "NAME", requires = "live", conflicts_with = "files")]
    context: Option<String>,
    /// Print the page of a rule, such as HS107.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["files", "live"])]
    explain: Option<String>,
    /// Judge every workload as if this were its mode.
    #[arg(long, value_name = "MODE")]
    mode: Option<Assumed>,
    /// The domain of the cluster's services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// The namespace of resources that name none, as in `kubectl apply --namespace`.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// How the result is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// A mode, as it can be typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Assumed {
    Off,
    Report,
    Act,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON value.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

impl Check {
    /// Judges every workload in the files, or in the cluster.
    ///
    /// # Errors
    /// When a file or the cluster cannot be read, or the result cannot be written.
    pub fn run(self) -> Result<Outcome> {
        judged(&self)
    }
}

fn judged(args: &Check) -> Result<Outcome> {
    if let Some(code) = &args.explain {
        let Some(rule) = rule::find(rules::ALL, code) else {
            let codes: Vec<&str> = rules::ALL.iter().map(|rule| rule.code).collect();
            bail!("--explain `{}`: there is no such rule; there are {}", text::shown(code), codes.join(", "));
        };
        print(rule.page)?;
        return Ok(Outcome::Done);
    }
    let mut mesh = if args.live { from_cluster(args.context.as_deref())? } else { Mesh::read(&args.files)? };
    if let Some(namespace) = &args.namespace {
        mesh.put_in(namespace);
    }
    let mode = args.mode.map(|mode| match mode {
        Assumed::Off => Mode::Off,
        Assumed::Report => Mode::Report,
        Assumed::Act => Mode::Act,
    });
    let report = check::judge(&mesh, &Options { domain: args.cluster_domain.clone(), mode });
    match args.output {
        Format::Text => print(&text::report(&report))?,
        Format::Json => print(&text::shown_json(&serde_json::to_string_pretty(&report)?))?,
        Format::Sarif => print(&text::shown_json(&serde_json::to_string_pretty(&sarif::report(&report))?))?,
    }
    // Remarks are for people; a reader that is gone misses nothing.
    let _ = std::io::stderr().write_all(text::summary(&report).as_bytes());
    if report.workloads.is_empty() && report.files.is_empty() {
        bail!("no workload is among the files: give Deployments, StatefulSets, DaemonSets or Pods too");
    }
    let is_clean = report.count(Severity::Error) + report.count(Severity::Warning) == 0;
    Ok(if is_clean { Outcome::Done } else { Outcome::Findings })
}

fn from_cluster(context: Option<&str>) -> Result<Mesh> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = live::client(context).await?;
        live::read(&client, live::OTHERS.into_iter().chain(live::POLICIES), live::Configurations::All).await
    })
}

/// Writes to stdout; a reader that closes the pipe early has what it wanted.
fn print(text: &str) -> Result<()> {
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow!("cannot write the result: {error}")),
        _ => Ok(()),
    }
}
