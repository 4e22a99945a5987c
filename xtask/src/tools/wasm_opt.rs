//! Binaryen's wasm-opt, which makes the module a seventh smaller. Without it the build works all the same.
//!
//! It is taken from its variable, or else from `PATH`, or else from a Debian package.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{self, Lists};
use crate::process::{self, find_on_path, is_executable};
use crate::workspace::Workspace;

/// The variable with the path of the user's own wasm-opt; empty for none.
const VARIABLE: &str = "FAULTLINE_WASM_OPT";

/// What Rust's target uses beyond WebAssembly's first version; every Envoy has it.
const FEATURES: [&str; 4] =
    ["--enable-bulk-memory", "--enable-mutable-globals", "--enable-nontrapping-float-to-int", "--enable-sign-ext"];

/// How it looks for what is smaller behind gzip, in which form the module travels.
///
/// Larger functions are not moved into their only caller: that saves 1 % of the module and costs 4 % behind gzip. No
/// address below 1,024 is used: there is the far end of the stack, which grows down from 64 KiB.
const FOR_SIZE: [&str; 5] = [
    "-Oz",
    "--converge",
    "--low-memory-unused",
    "--one-caller-inline-max-function-size=20",
    "--always-inline-max-function-size=4",
];

/// A wasm-opt.
pub(crate) struct WasmOpt {
    program: PathBuf,
    /// As it names itself: another version makes another module.
    pub(crate) version: String,
}

/// Finds or installs wasm-opt. Where there is none, a line says what that costs.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Option<WasmOpt>> {
    if let Some(file) = std::env::var_os(VARIABLE) {
        if file.is_empty() {
            return Ok(None);
        }
        if !is_executable(file.as_ref()) {
            bail!("{VARIABLE}={}: not an executable file; correct it or unset it", file.display());
        }
        return found(file.into()).map(Some);
    }
    if let Some(program) = find_on_path("wasm-opt") {
        return found(program).map(Some);
    }
    eprintln!("set-up: installing Debian's binaryen: its wasm-opt makes the module a seventh smaller");
    match apt::install(&["binaryen"], Lists::Any, &workspace.log()) {
        Ok(()) => find_on_path("wasm-opt").map(found).transpose(),
        Err(error) => {
            eprintln!("set-up: no wasm-opt, so the module is a sixth larger: {error:#}");
            Ok(None)
        }
    }
}

fn found(program: PathBuf) -> Result<WasmOpt> {
    let version = process::capture(Command::new(&program).arg("--version"));
    let version = version.with_context(|| format!("`{} --version` says nothing", program.display()))?;
    Ok(WasmOpt { program, version })
}

impl WasmOpt {
    /// Makes a module smaller: from the file `input` to the file `output`.
    pub(crate) fn run(&self, input: &OsStr, output: &OsStr) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(FOR_SIZE).args(FEATURES).arg(input).arg("-o").arg(output);
        process::run(&mut command)
    }
}
