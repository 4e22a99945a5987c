//! `cargo xtask fuzz`: texts and bytes from outside, made up at random, against the pure core.
//!
//! cargo-fuzz runs the targets of `filter/core/fuzz`, each for some seconds, starting from the corpus that is kept there.
//! Its compiler flags are a nightly compiler's; the stable one takes them when told that it is bootstrapping. What a
//! target finds stays in `filter/core/fuzz/artifacts`, and becomes a test beside the code it is about.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::apt::{self, Lists};
use crate::process::{self, find_on_path, is_executable};
use crate::workspace::Workspace;

/// Every target of `filter/core/fuzz`.
const TARGETS: [&str; 4] = ["configuration", "admin_answer", "shared_bytes", "event_text"];

/// Compiling cargo-fuzz takes a minute or two.
const INSTALL: Duration = Duration::from_secs(900);

/// Runs every target for `seconds`.
pub fn run(workspace: &Workspace, seconds: u64) -> Result<()> {
    let cargo_fuzz = ensure(workspace)?;
    for target in TARGETS {
        eprintln!("fuzz: {target}, {seconds} s");
        // What is found along the way stays out of the repository.
        let found = workspace.target.join("fuzz").join(target);
        std::fs::create_dir_all(&found).with_context(|| format!("{} cannot be made", found.display()))?;
        let mut fuzz = Command::new(&cargo_fuzz);
        workspace.prepare(&mut fuzz);
        fuzz.args(["fuzz", "run", target, "--fuzz-dir", "filter/core/fuzz", "--target-dir"])
            .arg(workspace.target.join("fuzz").join("build"))
            .arg(&found)
            .arg(format!("filter/core/fuzz/corpus/{target}"))
            .args(["--", &format!("-max_total_time={seconds}"), "-max_len=65536", "-verbosity=0"])
            .env("RUSTC_BOOTSTRAP", "1");
        process::run(&mut fuzz)?;
    }
    Ok(())
}

/// cargo-fuzz, installed under the target directory if it is nowhere else.
fn ensure(workspace: &Workspace) -> Result<PathBuf> {
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
