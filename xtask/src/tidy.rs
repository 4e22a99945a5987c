//! `cargo xtask tidy`: what no compiler checks. Documents that say the same as the code, the layers that
//! ARCHITECTURE.md states, files of a size that can be read.
//!
//! A check is a function that returns findings; a finding names the place, what is wrong and what to do. Checks read text
//! and never build anything, so that they cost a second.

mod deploy;
mod monitoring;
mod options;
mod source;
mod tables;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// What one check found at one place.
pub struct Finding {
    file: PathBuf,
    /// From 1; `None` where the finding is about the whole file.
    line: Option<usize>,
    /// What is wrong, and the remedy.
    what: String,
}

impl Finding {
    fn at(file: &Path, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), what: what.into() }
    }

    fn in_file(file: &Path, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        write!(out, " {}", self.what)
    }
}

type Check = fn(&Workspace) -> Result<Vec<Finding>>;

const CHECKS: [(&str, Check); 13] = [
    ("docs/events.md lists the code's events", tables::events),
    ("docs/metrics.md lists the code's metrics", tables::metrics),
    ("docs/configuration.md lists the configuration's options", options::check),
    ("deploy/envoy extracts every label", deploy::stats_tags),
    ("deploy/istio extracts every label", deploy::extra_stat_tags),
    ("alerts and dashboard name what the code counts", monitoring::names),
    ("the operator's rules are the plain ones", monitoring::operators_rules),
    ("every alert has its page", monitoring::runbooks),
    ("every Rust file has a header", source::headers),
    ("no Rust file is too long", source::lengths),
    ("only the boundary declares host functions", source::host_boundary),
    ("no machine's paths", source::machine_paths),
    ("layers do not depend on what they must not know", source::layers),
];

/// Runs every check; findings go to stderr, and any of them is an error. A check that cannot run counts as one.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut findings = 0;
    for (name, check) in CHECKS {
        let lines = match check(workspace) {
            Ok(found) => found.iter().map(ToString::to_string).collect(),
            Err(error) => vec![format!("the check cannot run: {error:#}")],
        };
        let verdict = if lines.is_empty() { "ok".to_owned() } else { lines.len().to_string() };
        eprintln!("{verdict:>4}  {name}");
        for line in &lines {
            eprintln!("      {line}");
        }
        findings += lines.len();
    }
    if findings > 0 {
        bail!("tidy: {findings} to correct, see above");
    }
    Ok(())
}
