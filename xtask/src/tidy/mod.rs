//! `cargo xtask tidy`: checks that no compiler makes, for example that documents agree with the code, and that files
//! use only what is below them.
//!
//! A check is a function that returns findings; a finding says where the problem is, what is wrong and what to do.
//! Checks read text and never build anything, so that they take only a second.

mod chart;
mod circles;
mod deploy;
pub(crate) mod files;
mod finding;
mod layers;
pub(crate) mod links;
mod lints;
mod monitoring;
mod options;
mod packages;
mod pipelines;
mod rust;
mod tables;
mod text;
mod words;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use files::Source;
use finding::Finding;
use rust::module_tree::{Crate, Files};

/// A check, by its input.
enum Check {
    /// Any files that it asks for.
    Workspace(fn(&Workspace) -> Result<Vec<Finding>>),
    /// The text of all files.
    Sources(fn(&[Source]) -> Vec<Finding>),
    /// The text of all files, and which of them are the roots of crates.
    Roots(fn(&[Source], &[&Path]) -> Vec<Finding>),
    /// The modules of each crate.
    Crates(fn(&[Crate]) -> Vec<Finding>),
}

const CHECKS: [(&str, Check); 31] = [
    ("docs/events.md lists the code's events", Check::Workspace(tables::events)),
    ("docs/metrics.md lists the code's metrics", Check::Workspace(tables::metrics)),
    ("docs/configuration.md lists the configuration's options", Check::Workspace(options::check)),
    ("deploy/envoy extracts every label", Check::Workspace(deploy::stats_tags)),
    ("deploy/istio extracts every label", Check::Workspace(deploy::extra_stat_tags)),
    ("alerts and dashboard name what the code counts", Check::Workspace(monitoring::names)),
    ("the operator's rules are the plain ones", Check::Workspace(monitoring::operators_rules)),
    ("the chart's files are the shipped ones", Check::Workspace(chart::copies)),
    ("alerts from logs name events of the code", Check::Workspace(pipelines::check)),
    ("every alert has its page", Check::Workspace(monitoring::runbooks)),
    ("every link leads somewhere", Check::Workspace(links::links)),
    ("the book has every page", Check::Workspace(links::summary)),
    ("the README can be read at once", Check::Sources(text::readme)),
    ("every Rust file has a header", Check::Sources(text::headers)),
    ("every folder says what it is about", Check::Roots(text::folders)),
    ("no Rust file is too long", Check::Sources(text::lengths)),
    ("no line is too wide", Check::Sources(text::widths)),
    ("only the boundary declares host functions", Check::Sources(text::host_boundary)),
    ("no machine's paths in the sources", Check::Sources(text::machine_paths)),
    ("no machine's paths in the module", Check::Workspace(packages::module_paths)),
    ("packages do not depend on what they must not know", Check::Workspace(packages::dependencies)),
    ("no circle of modules", Check::Crates(circles::circles)),
    ("no circle of modules by methods", Check::Crates(circles::circles_of_calls)),
    ("methods are where their type is, or below", Check::Crates(circles::methods)),
    ("files use their own layer and lower ones", Check::Crates(layers::layers)),
    ("libraries print nothing", Check::Crates(layers::printing)),
    ("libraries do not know clap", Check::Crates(layers::clap)),
    ("every package has the workspace's lints", Check::Sources(lints::check)),
    ("nothing excuses a trap or hides from tidy", Check::Sources(lints::exceptions)),
    ("there is a glossary", Check::Sources(words::glossary)),
    ("old words do not come back", Check::Sources(words::old_words)),
];

/// Runs every check; findings go to stderr, and any of them is an error. A check that cannot run counts as a finding.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = files::sources(&workspace.root, &workspace.target)?;
    let roots: Vec<&Path> = workspace.crate_roots.iter().map(|root| root.as_path()).collect();
    let crates = crates(&sources, &roots);
    let mut findings = 0;
    for (name, check) in CHECKS {
        let found = match (check, &crates) {
            (Check::Workspace(check), _) => check(workspace),
            (Check::Sources(check), _) => Ok(check(&sources)),
            (Check::Roots(check), _) => Ok(check(&sources, &roots)),
            (Check::Crates(check), Ok(crates)) => Ok(check(crates)),
            (Check::Crates(_), Err(error)) => Err(anyhow::anyhow!("{error:#}")),
        };
        let lines = match found {
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

fn crates(sources: &[Source], roots: &[&Path]) -> Result<Vec<Crate>> {
    let rust = sources.iter().filter(|source| source.is("rs"));
    let files: Files = rust.map(|source| (source.path.clone(), source.text.clone())).collect();
    let read = |root: &&Path| Crate::read(root, &files).with_context(|| format!("the crate of {}", root.display()));
    roots.iter().map(read).collect()
}
