//! `cargo xtask fuzz`: feeds random texts and bytes to the parts of the core that read external input.
//!
//! cargo-fuzz runs the targets of `filter/core/fuzz`, each for some seconds, starting from the corpus that is kept
//! there. Its compiler flags need a nightly compiler; `RUSTC_BOOTSTRAP` makes the stable one accept them. A failing
//! input is stored in `filter/core/fuzz/artifacts` and should become a test next to the code that it breaks.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::tools::cargo_tools;
use crate::workspace::Workspace;

/// Every target of `filter/core/fuzz`.
const TARGETS: [&str; 4] = ["configuration", "admin_answer", "shared_bytes", "event_text"];

/// Runs every target for `seconds`.
pub(crate) fn run(workspace: &Workspace, seconds: u64) -> Result<()> {
    let cargo_fuzz = cargo_tools::fuzz(workspace)?;
    for target in TARGETS {
        eprintln!("fuzz: {target}, {seconds} s");
        // Inputs that the fuzzer adds to its corpus are kept outside the repository.
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
