//! Other clients of registries, to compare with.
//!
//! Each is taken from `FAULTLINE_CRANE` or `FAULTLINE_ORAS`, else from `PATH`, else built by Go into the user's cache,
//! which takes a minute once.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A client that Go can build.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    name: &'static str,
    module: &'static str,
}

/// crane, of go-containerregistry.
pub const CRANE: Client = Client { name: "crane", module: "github.com/google/go-containerregistry/cmd/crane@v0.22.1" };

/// oras.
pub const ORAS: Client = Client { name: "oras", module: "oras.land/oras/cmd/oras@v1.3.6" };

impl Client {
    /// The program's name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The program's file; it is built if it is nowhere.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn path(self) -> Result<PathBuf> {
        let Self { name, module } = self;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
        let variable = format!("FAULTLINE_{}", name.to_uppercase());
        if let Some(found) = std::env::var_os(variable).map(PathBuf::from).or_else(|| on_path(name)) {
            return Ok(found);
        }
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).context("no home directory")?;
        // The version is part of the path, so that another one is built when it changes.
        let version = module.rsplit_once('@').map_or(module, |(_, version)| version);
        let dir = cache.join("faultline/clients").join(version);
        if !dir.join(name).is_file() {
            let go = on_path("go").with_context(|| format!("there is no {name}, and no Go to build it"))?;
            let built = Command::new(go).args(["install", module]).env("GOBIN", &dir).env("GOFLAGS", "").output();
            let built = built.is_ok_and(|output| output.status.success());
            ensure!(built, "Go cannot build {module}");
        }
        Ok(dir.join(name))
    }
}
