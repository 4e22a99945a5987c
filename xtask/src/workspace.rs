//! Paths: the workspace, its target directory, and the files that xtask writes there.
//!
//! It also starts nested cargos: `cargo run` passes on variables that describe xtask, which must not reach what a
//! nested cargo builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Variables with which the outer cargo describes xtask itself.
const OF_XTASK: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// The workspace that xtask was compiled in.
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, as set by its configuration or `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    /// The root file of each crate (library, program, test, bench, build script), from `root`.
    pub(crate) crate_roots: Vec<PathBuf>,
}

impl Workspace {
    /// Asks cargo for the workspace and its target directory.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask's folder has no parent")?.to_owned();
        let metadata = process::capture(
            Command::new(cargo_program())
                .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
                .current_dir(&root),
        )
        .with_context(|| format!("`cargo metadata` failed in {}: run it there to see why", root.display()))?;
        let metadata: Value = serde_json::from_str(&metadata).context("`cargo metadata` wrote no JSON")?;
        let target = metadata.get("target_directory").and_then(Value::as_str);
        let target = target.context("`cargo metadata` named no target_directory")?.into();
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let targets = list(&metadata, "packages").into_iter().flat_map(|package| list(&package, "targets"));
        let crate_roots = targets.filter_map(|target| {
            let file = Path::new(target.get("src_path")?.as_str()?);
            Some(file.strip_prefix(&root).unwrap_or(file).to_owned())
        });
        Ok(Self { crate_roots: crate_roots.collect(), root, target })
    }

    /// The same workspace in another folder, with a target directory of its own.
    pub(crate) fn elsewhere(&self, root: PathBuf) -> Self {
        Self { target: root.join("target"), crate_roots: self.crate_roots.clone(), root }
    }

    /// The module that is shipped.
    pub(crate) fn module(&self) -> PathBuf {
        self.target.join("faultline.wasm")
    }

    /// The SBOM of the module.
    pub(crate) fn components(&self) -> PathBuf {
        self.target.join("faultline.cdx.json")
    }

    /// The empty SDK filter that benches compare with.
    pub(crate) fn baseline(&self) -> PathBuf {
        self.target.join("baseline.wasm")
    }

    /// The publisher's binary, where `cargo build -p publisher` puts it.
    pub(crate) fn publisher(&self) -> PathBuf {
        self.target.join("debug").join("faultline")
    }

    /// The publisher's release build.
    pub(crate) fn released_publisher(&self) -> PathBuf {
        self.target.join("release").join("faultline")
    }

    /// The folder in which set-up installs tools only for this workspace.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The log of the installers.
    pub(crate) fn log(&self) -> PathBuf {
        self.tools().join("setup.log")
    }

    /// The file of `KEY=path` lines with which the tests find the tools.
    pub(crate) fn tools_env(&self) -> PathBuf {
        self.target.join("tools.env")
    }

    /// The file of `KEY=path` lines with which the drill `istio` finds the parts of a mesh with this branch of Istio.
    pub(crate) fn mesh_env(&self, branch: &str) -> PathBuf {
        self.target.join(format!("istio-{branch}.env"))
    }

    /// The list of what was skipped in the last `cargo xtask test`, a line each.
    pub(crate) fn skipped(&self) -> PathBuf {
        self.target.join("skipped.txt")
    }

    /// The cargo that started xtask, in the workspace's root, without the variables that describe xtask.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_program());
        self.prepare(&mut cargo);
        cargo
    }

    /// Prepares any command in the same way: it starts in the root, without the variables that describe xtask.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command.current_dir(&self.root);
        for (key, _) in std::env::vars_os() {
            if OF_XTASK.iter().any(|prefix| key.to_string_lossy().starts_with(prefix)) {
                command.env_remove(key);
            }
        }
    }
}

/// The folder in which cargo keeps the sources of dependencies.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
