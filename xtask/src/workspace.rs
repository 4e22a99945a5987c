//! Where things are: the workspace, its target directory, and what xtask leaves in it.
//!
//! Also how a nested cargo is started, because a cargo that was started by `cargo run` inherits variables that describe
//! xtask and not what is to be built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Variables by which the outer cargo describes xtask itself.
const OF_XTASK: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// The workspace that xtask was compiled in.
pub struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target directory, wherever its configuration or `CARGO_TARGET_DIR` puts it.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo where it builds.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask's folder has no parent")?.to_owned();
        let metadata = process::capture(
            Command::new(cargo_program())
                .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
                .current_dir(&root),
        )
        .with_context(|| format!("`cargo metadata` failed in {}: run it there to see why", root.display()))?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata).context("`cargo metadata` wrote no JSON")?;
        let target = metadata
            .get("target_directory")
            .and_then(serde_json::Value::as_str)
            .context("`cargo metadata` named no target_directory")?
            .into();
        Ok(Self { root, target })
    }

    /// The module that is shipped.
    pub fn module(&self) -> PathBuf {
        self.target.join("faultline.wasm")
    }

    /// The list of what the module is made of.
    pub fn components(&self) -> PathBuf {
        self.target.join("faultline.cdx.json")
    }

    /// The empty SDK filter that benches compare with.
    pub fn baseline(&self) -> PathBuf {
        self.target.join("baseline.wasm")
    }

    /// The publisher's binary, as `cargo build -p publisher` leaves it.
    pub fn publisher(&self) -> PathBuf {
        self.target.join("debug").join("faultline")
    }

    /// What set-up installs for this workspace alone.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// What the installers said.
    pub fn log(&self) -> PathBuf {
        self.tools().join("setup.log")
    }

    /// The `KEY=path` lines by which the tests find the tools.
    pub fn tools_env(&self) -> PathBuf {
        self.target.join("tools.env")
    }

    /// The cargo that started xtask, in the workspace's root, free of what describes xtask.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_program());
        self.prepare(&mut cargo);
        cargo
    }

    /// Makes any command a nested one: started in the root, free of what describes xtask.
    pub fn prepare(&self, command: &mut Command) {
        command.current_dir(&self.root);
        for (key, _) in std::env::vars_os() {
            if OF_XTASK.iter().any(|prefix| key.to_string_lossy().starts_with(prefix)) {
                command.env_remove(key);
            }
        }
    }
}

/// Where cargo keeps the sources of dependencies.
pub fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
