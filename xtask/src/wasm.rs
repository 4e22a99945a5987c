//! Builds the module.
//!
//! Flags that never change, such as the size of the stack, are in `.cargo/config.toml`; flags that depend on the
//! machine are here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tools::toolchain::{self, TARGET, Toolchain};
use crate::tools::wasm_opt::{self, WasmOpt};
use crate::workspace::{Workspace, cargo_home};
use crate::{build_info, process, sbom};

const PROFILE: &str = "wasm";

/// Builds the shipped module and the bench's empty one into the target directory. A file whose bytes would stay the
/// same is not touched, so that what embeds it is not rebuilt.
pub(crate) fn build(workspace: &Workspace, toolchain: Toolchain) -> Result<PathBuf> {
    // A separate cargo call for each: if built together, the features that one needs of a dependency would also be
    // enabled in the other.
    publish(&read_module(&build_package(workspace, toolchain, "baseline")?)?, &workspace.baseline())?;
    let built = build_package(workspace, toolchain, "filter")?;
    let wasm_opt = wasm_opt::ensure(workspace)?;
    let module = match &wasm_opt {
        Some(wasm_opt) => smaller(&built, wasm_opt)?,
        None => read_module(&built)?,
    };
    let module = build_info::stamped(workspace, &module, wasm_opt.as_ref().map(|tool| tool.version.as_str()))?;
    let compiler = toolchain::version_of(toolchain.rustc()).context("the compiler does not say which version it is")?;
    // Before the module, so that whoever sees a new module finds the list that belongs to it.
    let subject = sbom::Subject { name: "faultline", package: "filter", bytes: &module, target: TARGET };
    publish(&sbom::components(workspace, &subject, &compiler)?, &workspace.components())?;
    publish(&module, &workspace.module())?;
    Ok(workspace.module())
}

fn build_package(workspace: &Workspace, toolchain: Toolchain, package: &str) -> Result<PathBuf> {
    // A separate directory: two compilers in the same one would discard each other's work.
    let target_dir = workspace.target.join("wasm").join(toolchain.name());
    let mut cargo = toolchain.cargo_build(workspace);
    cargo.args(["--profile", PROFILE, "--package", package, "--target-dir"]).arg(&target_dir);
    cargo.args(["--config", &remapped_paths(workspace)]);
    process::run(&mut cargo)?;
    Ok(target_dir.join(TARGET).join(PROFILE).join(package).with_extension("wasm"))
}

fn read_module(built: &Path) -> Result<Vec<u8>> {
    fs::read(built).with_context(|| format!("{}: the build left no module there", built.display()))
}

/// The module that the compiler built, as wasm-opt makes it.
fn smaller(built: &Path, wasm_opt: &WasmOpt) -> Result<Vec<u8>> {
    let output = built.with_extension("opt.wasm");
    wasm_opt.run(built.as_os_str(), output.as_os_str())?;
    read_module(&output)
}

/// Configuration that keeps this machine's paths out of the module's panic messages, so that the same source gives the
/// same bytes anywhere. Cargo appends it to the flags of `.cargo/config.toml`.
fn remapped_paths(workspace: &Workspace) -> String {
    let mut flags = vec![format!("--remap-path-prefix={}=.", workspace.root.display())];
    flags.extend(cargo_home().map(|home| format!("--remap-path-prefix={}=cargo", home.display())));
    // The debug format of a Rust string is a TOML basic string for every path without control characters.
    format!("target.{TARGET}.rustflags={flags:?}")
}

/// Writes `bytes` to `product` in one step, unless it already contains them.
fn publish(bytes: &[u8], product: &Path) -> Result<()> {
    if fs::read(product).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let unfinished = product.with_extension("unfinished");
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, product))
        .with_context(|| format!("{} cannot be written", product.display()))
}
