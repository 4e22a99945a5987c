//! Finds the real programs and the built module.
//!
//! Each is looked for in this order: its environment variable; `tools.env` in the target directory, which `cargo xtask
//! setup` writes and whose lines are `KEY=path`; the place where a build puts it. Nothing is installed or built here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A program or file that tests need from outside this package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The `envoy` binary, with V8 (`FAULTLINE_ENVOY`).
    Envoy,
    /// The CNCF distribution registry (`FAULTLINE_DOCKER_REGISTRY`).
    DockerRegistry,
    /// `skopeo` (`FAULTLINE_SKOPEO`).
    Skopeo,
    /// Apache's `htpasswd` (`FAULTLINE_HTPASSWD`).
    Htpasswd,
    /// Prometheus (`FAULTLINE_PROMETHEUS`).
    Prometheus,
    /// Its `promtool` (`FAULTLINE_PROMTOOL`).
    Promtool,
    /// Prometheus's Alertmanager (`FAULTLINE_ALERTMANAGER`).
    Alertmanager,
    /// The filter's module, `faultline.wasm` (`FAULTLINE_WASM`).
    Module,
    /// The empty filter that benches compare with (`BASELINE_WASM`).
    Baseline,
    /// The `faultline` program (`FAULTLINE_BIN`).
    Publisher,
    /// The `hot-switch` program (`FAULTLINE_HOT_SWITCH`).
    HotSwitch,
}

impl Tool {
    /// The environment variable, and the key in `tools.env`.
    pub fn key(self) -> &'static str {
        match self {
            Tool::Envoy => "FAULTLINE_ENVOY",
            Tool::DockerRegistry => "FAULTLINE_DOCKER_REGISTRY",
            Tool::Skopeo => "FAULTLINE_SKOPEO",
            Tool::Htpasswd => "FAULTLINE_HTPASSWD",
            Tool::Prometheus => "FAULTLINE_PROMETHEUS",
            Tool::Promtool => "FAULTLINE_PROMTOOL",
            Tool::Alertmanager => "FAULTLINE_ALERTMANAGER",
            Tool::Module => "FAULTLINE_WASM",
            Tool::Baseline => "BASELINE_WASM",
            Tool::Publisher => "FAULTLINE_BIN",
            Tool::HotSwitch => "FAULTLINE_HOT_SWITCH",
        }
    }

    /// The program's or file's path.
    ///
    /// # Errors
    /// If it is not found, or the path is not a file; the message names the variable and the remedy.
    pub fn path(self) -> Result<PathBuf> {
        let key = self.key();
        let target = target_dir()?;
        let path = match std::env::var_os(key) {
            Some(path) => PathBuf::from(path),
            None => match recorded(&target.join("tools.env"), key)?.or_else(|| self.built(&target)) {
                Some(path) => path,
                None => bail!("{key} is not set and tools.env does not name it: run `cargo xtask setup`"),
            },
        };
        if !path.is_file() {
            bail!("{key} is {}, which is not a file: run `cargo xtask setup`", path.display());
        }
        Ok(path)
    }

    /// Where a build puts what this workspace makes itself.
    fn built(self, target: &Path) -> Option<PathBuf> {
        let place = match self {
            Tool::Module => target.join("faultline.wasm"),
            Tool::Baseline => target.join("baseline.wasm"),
            Tool::Publisher => target.join("debug/faultline"),
            Tool::HotSwitch => target.join("debug/hot-switch"),
            _ => return None,
        };
        place.is_file().then_some(place)
    }
}

/// Cargo's target directory: the directory above this program that contains cargo's cache tag.
///
/// # Errors
/// If the program was moved out of it.
pub fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    let marked = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    marked.map(Path::to_owned).with_context(|| format!("{} is in no cargo target directory", program.display()))
}

fn recorded(file: &Path, key: &str) -> Result<Option<PathBuf>> {
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let of_key = |line: &str| line.split_once('=').filter(|(k, _)| *k == key).map(|(_, v)| PathBuf::from(v));
    Ok(text.lines().find_map(of_key))
}
