//! `faultline config`: derives the plugin configuration from the mesh's own rules.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use filter_core::config;

use crate::commands::options::{Rules, WrongUsage, pair};
use crate::commands::outcome::Outcome;
use crate::commands::plugin_config;
use crate::from_mesh;
use crate::terminal::output;
use mesh::lookup::Client;

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints the plugin configuration, JSON: one entry for each DestinationRule, port and subset with outlier detection, the \
more special first, and thresholds of 0 for everything else. What was assumed, decided and left out is said on \
stderr. `faultline manifest --from` writes it into a manifest at once, for the proxies of its --namespace and \
--selector.

Exits with 3 if rules were left out or something was assumed and Envoy is not asked (--no-witness).

istiod looks for a rule in the proxy's namespace, then in the service's, then in the root namespace.

With the witness, the filter reads the thresholds from Envoy, and what is printed here serves only while Envoy does \
not answer. Without it (--no-witness) they are what ejections are inferred by.

Examples:
  kubectl get destinationrules,serviceentries -A -o yaml | faultline config -
  faultline config mesh/ istio-configmap.yaml > faultline.json
  helm template web chart/ | faultline config --from - --namespace shop
  faultline config --from mesh/ --namespace shop --selector app=checkout
  faultline config --from mesh/ --config own.json --no-witness";

/// `faultline config`
#[derive(Debug, Args)]
pub(crate) struct Config {
    /// The same as --from.
    #[arg(value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// A configuration to start from, JSON: its entries come first, its other settings stay.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// For the proxies of this namespace, which see its own rules first; resources that name no namespace are in it.
    /// Without it: for proxies in namespaces without rules of their own.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// For the proxies with this label: takes rules whose workloadSelector has it; can be given more than once.
    #[arg(long = "selector", value_name = "KEY=VALUE", value_parser = pair, requires = "namespace")]
    pub(crate) selector: Vec<(String, String)>,
}

/// Derives the configuration and prints it.
///
/// # Errors
/// When a file cannot be read or nothing can be derived.
pub(crate) fn run(args: &Config) -> anyhow::Result<Outcome> {
    let mut rules = args.rules.clone();
    rules.from.extend(args.files.iter().cloned());
    if rules.from.is_empty() {
        return Err(WrongUsage(anyhow!("say with --from which files hold the mesh's rules, or name them")).into());
    }
    let mut base = None;
    if let Some(path) = &args.config {
        let text = plugin_config::read(path)?;
        if !text.trim_ascii().is_empty() {
            config::parse(&text).with_context(|| format!("`{}`", path.display()))?;
            base = Some(serde_json::from_slice(&text)?);
        }
    }
    let client = Client { namespace: args.namespace.as_deref(), labels: &args.selector };
    let derived = from_mesh::configuration(rules.of_mesh(client, false), base, plugin_config::remark)?;
    output::json(&derived.value)?;
    Ok(if derived.is_whole { Outcome::Done } else { Outcome::Findings })
}
