//! Builds the programs of a release: static, and the same bytes wherever the same commit is built.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::elf;
use super::source::Source;
use super::target::Target;
use crate::process;
use crate::tools::zigbuild::{self, Zigbuild};
use crate::workspace::{Workspace, cargo_home};

/// The programs, and the package of each.
pub(crate) const PROGRAMS: [(&str, &str); 2] = [("faultline", "publisher"), ("hot-switch", "hot-switch")];

const PROFILE: &str = "dist";

/// The programs for one target.
pub(crate) struct Built {
    /// What they run on.
    pub(crate) target: Target,
    /// Name and bytes of each, in the order of [`PROGRAMS`].
    pub(crate) programs: Vec<(&'static str, Vec<u8>)>,
}

impl Built {
    /// The program with this name.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn program(&self, name: &str) -> Result<&[u8]> {
        let found = self.programs.iter().find(|(program, _)| *program == name);
        found.map(|(_, bytes)| bytes.as_slice()).with_context(|| format!("no program {name} was built"))
    }
}

/// Builds all programs for `target`, with the workspace's module inside.
///
/// # Errors
/// If they cannot be built here, or are not static.
pub(crate) fn build(workspace: &Workspace, zigbuild: &Zigbuild, source: &Source, target: Target) -> Result<Built> {
    let triple = target.triple();
    zigbuild::ensure_target(workspace, triple)?;
    let mut cargo = zigbuild.cargo_build(workspace, triple);
    cargo.env("FAULTLINE_WASM", workspace.module()).env("SOURCE_DATE_EPOCH", source.epoch.to_string());
    cargo.args(["--locked", "--profile", PROFILE, "--bins", "--target-dir"]).arg(target_dir(workspace));
    cargo.args(["--config", &remapped_paths(workspace, triple)]);
    for (_, package) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    process::run(&mut cargo)?;
    let mut programs = Vec::new();
    for (name, _) in PROGRAMS {
        let file = file(workspace, target, name);
        let bytes = fs::read(&file).with_context(|| format!("{}: the build left no program there", file.display()))?;
        elf::check(&bytes, target).with_context(|| format!("{} is not fit to be shipped", file.display()))?;
        programs.push((name, bytes));
    }
    Ok(Built { target, programs })
}

/// Where [`build`] leaves the program `name`.
pub(crate) fn file(workspace: &Workspace, target: Target, name: &str) -> PathBuf {
    target_dir(workspace).join(target.triple()).join(PROFILE).join(name)
}

/// A directory of its own, so that other builds neither wait for these nor discard them.
fn target_dir(workspace: &Workspace) -> PathBuf {
    workspace.target.join("dist-build")
}

/// Configuration that keeps this machine's paths out of what is built. The longest prefix comes last, as the compiler
/// takes the last that fits.
fn remapped_paths(workspace: &Workspace, triple: &str) -> String {
    let mut prefixes =
        vec![(workspace.root.display().to_string(), "."), (workspace.target.display().to_string(), "target")];
    prefixes.extend(cargo_home().map(|home| (home.display().to_string(), "cargo")));
    prefixes.sort_by_key(|(prefix, _)| prefix.len());
    let flags: Vec<String> =
        prefixes.iter().map(|(prefix, name)| format!("--remap-path-prefix={prefix}={name}")).collect();
    // The debug format of a Rust string is a TOML basic string for every path without control characters.
    format!("target.{triple}.rustflags={flags:?}")
}
