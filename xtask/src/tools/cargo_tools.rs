//! Programs that cargo installs: cargo-fuzz with the C++ compiler that its engine needs, cargo-deny, and mdBook.
//!
//! Each is taken from `PATH` or else installed under the target directory.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::apt::{self, Lists};
use crate::process::{self, find_on_path, is_executable};
use crate::workspace::Workspace;

/// The time limit of an installation; compiling one of them takes a minute or two on two cores.
const INSTALL: Duration = Duration::from_secs(900);

/// The version of cargo-deny that set-up installs.
const DENY_VERSION: &str = "0.20.2";

/// The version of mdBook that set-up installs.
const MDBOOK_VERSION: &str = "0.5.4";

/// cargo-fuzz, which runs the fuzz targets.
pub(crate) fn fuzz(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = find_on_path("cargo-fuzz") {
        return Ok(found);
    }
    let program = install(workspace, "cargo-fuzz", &[], "it runs the fuzz targets")?;
    if find_on_path("c++").is_none() {
        eprintln!("set-up: installing Debian's g++: the fuzzer's engine is C++");
        apt::install(&["g++"], Lists::Any, &workspace.log())?;
    }
    Ok(program)
}

/// cargo-deny, which checks the dependencies.
pub(crate) fn deny(workspace: &Workspace) -> Result<PathBuf> {
    // Built without optimisation: a check takes seconds either way, and the build takes a minute instead of several.
    let options = ["--version", DENY_VERSION, "--profile", "dev"];
    match find_on_path("cargo-deny") {
        Some(found) => Ok(found),
        None => install(workspace, "cargo-deny", &options, "it checks the dependencies' licences and advisories"),
    }
}

/// mdBook, which makes a book of the documents.
pub(crate) fn mdbook(workspace: &Workspace) -> Result<PathBuf> {
    // Without its server and its watcher, and not optimised: it builds the book in a second either way.
    let options = ["--version", MDBOOK_VERSION, "--profile", "dev", "--no-default-features", "--features", "search"];
    match find_on_path("mdbook") {
        Some(found) => Ok(found),
        None => install(workspace, "mdbook", &options, "it makes a book of the documents"),
    }
}

fn install(workspace: &Workspace, name: &str, options: &[&str], why: &str) -> Result<PathBuf> {
    let root = workspace.tools().join(name);
    let program = root.join("bin").join(name);
    if !is_executable(&program) {
        eprintln!("set-up: installing {name}: {why}");
        let mut install = workspace.cargo();
        install.args(["install", name, "--locked"]).args(options).arg("--root").arg(&root);
        process::run_logged(&mut install, &workspace.log(), INSTALL)
            .with_context(|| format!("no {name}; with a network, run `cargo install {name} --locked`"))?;
    }
    Ok(program)
}
