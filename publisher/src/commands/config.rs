//! `faultline config`: derives the plugin configuration from the mesh's own rules.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use filter_core::config;

use crate::commands::options::{Rules, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::commands::plugin_config;
use crate::from_mesh;
use crate::terminal::output;

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints the plugin configuration, JSON: one entry for each DestinationRule, port and subset with outlier detection, the \
more special first, and thresholds of 0 for everything else. What had to be decided is said on stderr. `faultline \
manifest --from` writes it into a manifest at once.

With the witness, the filter reads the thresholds from Envoy, and what is printed here serves only while Envoy does \
not answer. Without it (--no-witness) they are what ejections are inferred by.

Examples:
  kubectl get destinationrules,serviceentries -A -o yaml | faultline config --from -
  faultline config --from mesh/ --from istio-configmap.yaml > faultline.json
  faultline config --from mesh/ --config own.json --no-witness";

/// `faultline config`
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// A configuration to start from, JSON: its entries come first, its other settings stay.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Derives the configuration and prints it.
///
/// # Errors
/// When a file cannot be read or nothing can be derived.
pub(crate) fn run(args: &Config) -> anyhow::Result<Outcome> {
    if args.rules.from.is_empty() {
        return Err(WrongUsage(anyhow!("say with --from which files hold the mesh's rules")).into());
    }
    let mut base = None;
    if let Some(path) = &args.config {
        let text = plugin_config::read(path)?;
        if !text.trim_ascii().is_empty() {
            config::parse(&text).with_context(|| format!("`{}`", path.display()))?;
            base = Some(serde_json::from_slice(&text)?);
        }
    }
    output::json(&from_mesh::configuration(args.rules.of_mesh(), base, plugin_config::remark)?)?;
    Ok(Outcome::Done)
}
