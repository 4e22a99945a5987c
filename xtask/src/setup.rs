//! Set-up: installs everything needed to build, show and test the filter, on a machine that has Rust, Python and apt.
//!
//! Installed tools are used as they are. A missing tool is installed, with one line that says what and why. If that
//! fails, a line gives the remedy, and all such lines are printed before set-up fails. A second run installs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::skipped;
use crate::tools::mesh::{self, Branch};
use crate::tools::toolchain::{self, Toolchain};
use crate::tools::{envoy, istio, programs};
use crate::workspace::Workspace;

/// The scope of set-up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The needs of the demo and the benches: the module's toolchain and Envoy.
    Run,
    /// In addition, what the tests push to and check with.
    Tests,
}

/// The tools that set-up found.
pub(crate) struct Tools {
    /// The toolchain that builds the module.
    pub(crate) toolchain: Toolchain,
    /// The contents of `tools.env`: variable and file.
    paths: BTreeMap<String, PathBuf>,
}

impl Tools {
    /// Passes the tools' paths to a nested command, so that it does not have to read `tools.env`.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.envs(&self.paths);
    }
}

/// Finds or installs everything in `scope`, and writes `tools.env`.
pub(crate) fn run(workspace: &Workspace, scope: Scope) -> Result<Tools> {
    let toolchain = toolchain::ensure(workspace);
    let mut searches = vec![(envoy::VARIABLE, envoy::ensure(workspace))];
    if scope == Scope::Tests {
        let log = workspace.log();
        searches.extend(programs::TOOLS.iter().map(|tool| (tool.variable, tool.ensure(&log))));
    }

    let mut paths = read_tools_env(&workspace.tools_env());
    let mut installed = false;
    let mut missing = Vec::new();
    let toolchain = toolchain.inspect(|(_, new)| installed |= new).map_err(|error| missing.push(error)).ok();
    for (variable, search) in searches {
        match search.and_then(|(file, new)| Ok((std::path::absolute(file)?, new))) {
            Ok((file, new)) => {
                installed |= new;
                paths.insert(variable.to_owned(), file);
            }
            Err(error) => missing.push(error),
        }
    }
    for error in &missing {
        eprintln!("set-up: missing: {error:#}");
    }
    let Some((toolchain, _)) = toolchain.filter(|_| missing.is_empty()) else {
        bail!("set-up is not complete: see the lines above ({} missing)", missing.len());
    };

    if scope == Scope::Tests {
        paths.extend(for_istio(workspace)?);
        for_mesh(workspace)?;
        installed |= for_rules(workspace)?;
    }
    paths.insert("FAULTLINE_WASM".to_owned(), workspace.module());
    paths.insert("BASELINE_WASM".to_owned(), workspace.baseline());
    paths.insert("FAULTLINE_BIN".to_owned(), workspace.publisher());
    write_tools_env(&workspace.tools_env(), &paths)?;

    let envoy = paths.get(envoy::VARIABLE).map(|file| file.display().to_string()).unwrap_or_default();
    let verdict = if installed { "done" } else { "everything is there, nothing installed" };
    eprintln!("set-up: {verdict} (module: {}; Envoy: {envoy})", toolchain.name());
    Ok(Tools { toolchain, paths })
}

/// The tools for the tests of Istio's resources. They are optional without Go; with Go, a failed download is an error
/// in CI.
fn for_istio(workspace: &Workspace) -> Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    for (variable, search) in istio::find(workspace) {
        match search {
            Ok(istio::Found::At(file)) => _ = paths.insert(variable.to_owned(), file),
            Ok(istio::Found::Beside) => {}
            Ok(istio::Found::NoGo) => {
                let why = format!("{variable} is not set, and there is no Go to download it with");
                skipped::add(workspace, "tests of Istio's resources", &why)?;
            }
            Err(error) if skipped::is_ci() => return Err(error.context(format!("set-up: missing: {variable}"))),
            Err(error) => skipped::add(workspace, "tests of Istio's resources", &format!("no {variable}: {error:#}"))?,
        }
    }
    Ok(paths)
}

/// What the drill in a real Istio needs. It is built only if `FAULTLINE_ISTIO_LAB` is set, because that takes long and
/// fills Go's caches; the test reports that it is skipped where it is missing.
fn for_mesh(workspace: &Workspace) -> Result<()> {
    if mesh::obstacle().is_none()
        && (std::env::var_os("FAULTLINE_ISTIO_LAB").is_some() || mesh::is_built(workspace, Branch::V1_31))
    {
        mesh::ensure(workspace, Branch::V1_31).context("set-up: missing: a real Istio")?;
    }
    Ok(())
}

/// The programs for packet rules. They are optional: the tests that use them need root besides, and report that they
/// are skipped. Whether any was installed.
fn for_rules(workspace: &Workspace) -> Result<bool> {
    match programs::ensure_rules(&workspace.log()) {
        Ok(installed) => Ok(installed),
        Err(error) => {
            skipped::add(workspace, "tests of hot-switch in network namespaces", &format!("{error:#}")).map(|()| false)
        }
    }
}

/// The files that an earlier set-up found and that still exist.
fn read_tools_env(file: &Path) -> BTreeMap<String, PathBuf> {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, path)| (key.to_owned(), PathBuf::from(path)))
        .filter(|(_, path)| path.exists())
        .collect()
}

fn write_tools_env(file: &Path, paths: &BTreeMap<String, PathBuf>) -> Result<()> {
    let text: String = paths.iter().map(|(key, path)| format!("{key}={}\n", path.display())).collect();
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}
