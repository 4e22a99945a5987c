//! `hot-switch status`: what is in the kernels of this node's pods.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use hot_switch_core::standing::Directions;
use serde_json::json;

use super::outcome::Outcome;
use crate::kernel::netns::Netns;
use crate::kernel::reading::{Found, Reading};

/// The end of the help.
const HELP: &str = "\
Needs root, and `iptables` or `nft`, on the node or in the agent of the node. Exits with 0 whatever is found, and with \
1 if it cannot be read, with 2 on wrong usage.

Examples:
  hot-switch status
  kubectl exec -n faultline-hot-switch AGENT -- hot-switch status --proc /host/proc
  hot-switch status --output json | jq 'select(.bypassed)'";

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Status {
    /// Only this network namespace, instead of all that processes of this node are in.
    #[arg(long, value_name = "FILE")]
    netns: Option<PathBuf>,
    /// Where the node's processes are seen.
    #[arg(long, value_name = "DIR", default_value = "/proc")]
    proc: PathBuf,
    /// How it is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// How a status is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people: a line for each namespace.
    Text,
    /// One JSON object for each namespace, on a line.
    Json,
}

impl Status {
    /// Prints every namespace that Istio's rules are in.
    ///
    /// # Errors
    /// If processes or rules cannot be read.
    #[expect(clippy::print_stdout, reason = "the status is what was asked for")]
    pub fn run(self) -> Result<Outcome> {
        let namespaces = match &self.netns {
            Some(path) => BTreeMap::from([(0, path.clone())]),
            None => namespaces(&self.proc)?,
        };
        let (looked_at, mut told) = (namespaces.len(), 0);
        for path in namespaces.into_values() {
            // The node's own, and those that ended meanwhile, are none of ours.
            let Ok(netns) = Netns::open(&path, &self.proc) else { continue };
            let found = netns.inside(|| Ok(Reading::take()?.found(Directions::Both)))?;
            if found.captured || self.netns.is_some() {
                match self.output {
                    Format::Text => println!("{}", as_text(&path, found)),
                    Format::Json => println!("{}", as_json(&path, found)),
                }
                told += 1;
            }
        }
        if told == 0 {
            eprintln!("none of {looked_at} network namespaces has Istio's rules: no pod with a sidecar is seen here");
        }
        Ok(Outcome::Done)
    }
}

/// A file for each network namespace, by its number.
fn namespaces(proc: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(proc).with_context(|| format!("{}: cannot be read", proc.display()))? {
        let path = entry?.path().join("ns/net");
        if let Ok(file) = fs::metadata(&path) {
            found.entry(file.ino()).or_insert(path);
        }
    }
    Ok(found)
}

fn seconds_since(since: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs().saturating_sub(since / 1000)
}

fn as_text(path: &Path, found: Found) -> String {
    let gate = match found.gate {
        Some(since) => format!("bypassed for {} s", seconds_since(since)),
        None if found.captured => "through the proxy".to_owned(),
        None => "not redirected".to_owned(),
    };
    let half = if found.half { ", in part" } else { "" };
    let probes = if found.probes { ", probes taken over" } else { "" };
    format!("{}: {gate}{half}{probes}", path.display())
}

fn as_json(path: &Path, found: Found) -> String {
    json!({
        "netns": path.display().to_string(),
        "captured": found.captured,
        "bypassed": found.gate.is_some(),
        "whole": !found.half,
        "bypassed_seconds": found.gate.map(seconds_since),
        "probes_taken_over": found.probes,
    })
    .to_string()
}
