//! cargo-fuzz, and the C++ compiler that its engine is built with.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::apt::{self, Lists};
use crate::process::{self, find_on_path, is_executable};
use crate::workspace::Workspace;

/// Compiling cargo-fuzz takes a minute or two.
const INSTALL: Duration = Duration::from_secs(900);

/// cargo-fuzz, installed under the target directory if it is nowhere else.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = find_on_path("cargo-fuzz") {
        return Ok(found);
    }
    let root = workspace.tools().join("cargo-fuzz");
    let program = root.join("bin/cargo-fuzz");
    if !is_executable(&program) {
        eprintln!("set-up: installing cargo-fuzz: it runs the fuzz targets");
        let mut install = workspace.cargo();
        install.args(["install", "cargo-fuzz", "--locked", "--root"]).arg(&root);
        process::run_logged(&mut install, &workspace.log(), INSTALL)
            .context("cargo-fuzz cannot be installed; `cargo install cargo-fuzz` where there is a network")?;
    }
    if find_on_path("c++").is_none() {
        eprintln!("set-up: installing g++: the fuzzer's engine is C++");
        apt::install(&["g++"], Lists::Any, &workspace.log())?;
    }
    Ok(program)
}
