//! What builds programs that need nothing of the machine they run on: musl's libraries of Rust, and Zig, which is C
//! compiler, linker and libc in one and the same for every machine, with cargo-zigbuild between it and cargo.
//!
//! Both come from PyPI in fixed versions, as another compiler makes other bytes of the same source.
//! `FAULTLINE_ZIGBUILD` names a cargo-zigbuild of one's own; it then looks for Zig itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{pypi, toolchain};
use crate::process::{self, SHORT, capture, is_executable};
use crate::workspace::Workspace;

/// The variable with the path of the user's own cargo-zigbuild.
pub(crate) const VARIABLE: &str = "FAULTLINE_ZIGBUILD";

const ZIGBUILD_VERSION: &str = "0.24.1";
const ZIG_VERSION: &str = "0.17.1";

/// A cargo-zigbuild.
pub(crate) struct Zigbuild {
    program: PathBuf,
    /// Where it and Zig keep what they build for every program, such as the libc.
    cache: PathBuf,
}

/// Finds or installs cargo-zigbuild and Zig.
///
/// # Errors
/// If they cannot be installed.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Zigbuild> {
    let cache = workspace.tools().join("zig-cache");
    if let Some(file) = std::env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        let program = PathBuf::from(file);
        if !is_executable(&program) {
            bail!("{VARIABLE}={}: not an executable file; correct it or unset it", program.display());
        }
        return Ok(Zigbuild { program, cache });
    }
    let environment = workspace.tools().join(format!("zigbuild-{ZIGBUILD_VERSION}-zig-{ZIG_VERSION}"));
    let program = environment.join("bin/cargo-zigbuild");
    let runs = || {
        capture(Command::new(&program).args(["zigbuild", "--help"])).is_some()
            && capture(Command::new(environment.join("bin/python")).args(["-m", "ziglang", "version"])).is_some()
    };
    if !runs() {
        eprintln!("set-up: installing PyPI's cargo-zigbuild and ziglang: static programs need a C compiler for musl");
        let packages = [format!("cargo-zigbuild=={ZIGBUILD_VERSION}"), format!("ziglang=={ZIG_VERSION}")];
        pypi::install(&environment, &packages, &workspace.log())
            .with_context(|| format!("no cargo-zigbuild; with a network, run this again, or set {VARIABLE}"))?;
        if !runs() {
            bail!("{}: PyPI's cargo-zigbuild does not run on this machine; set {VARIABLE}", environment.display());
        }
    }
    Ok(Zigbuild { program, cache })
}

/// Finds or installs Rust's standard library for the target `triple`.
///
/// # Errors
/// If it cannot be installed.
pub(crate) fn ensure_target(workspace: &Workspace, triple: &str) -> Result<()> {
    let there = || toolchain::sysroot("rustc").is_some_and(|root| root.join("lib/rustlib").join(triple).is_dir());
    if there() {
        return Ok(());
    }
    eprintln!("set-up: installing rustup's target {triple}: there is no standard library for it");
    let remedy = || format!("no Rust for {triple}; with a network, run `rustup target add {triple}`");
    process::run_logged(Command::new("rustup").args(["target", "add", triple]), &workspace.log(), SHORT)
        .with_context(remedy)?;
    if there() { Ok(()) } else { bail!(remedy()) }
}

impl Zigbuild {
    /// `cargo zigbuild --target triple` in the workspace's root, without inherited variables that would change what is
    /// built.
    pub(crate) fn cargo_build(&self, workspace: &Workspace, triple: &str) -> Command {
        let mut cargo = Command::new(&self.program);
        workspace.prepare(&mut cargo);
        for (key, _) in std::env::vars_os() {
            if changes_the_result(&key.to_string_lossy()) {
                cargo.env_remove(key);
            }
        }
        cargo.env("CARGO_ZIGBUILD_CACHE_DIR", self.cache.join("zigbuild"));
        for variable in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            cargo.env(variable, self.cache.join("zig"));
        }
        // It finds Zig by the Python beside it.
        let beside = self.program.parent().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        if let Ok(path) = std::env::join_paths(beside.into_iter().chain(std::env::split_paths(&path))) {
            cargo.env("PATH", path);
        }
        cargo.args(["zigbuild", "--target", triple]);
        cargo
    }
}

/// Whether an environment variable would change what cargo builds, or where it puts it.
fn changes_the_result(name: &str) -> bool {
    let prefixes = ["CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_BUILD_", "CFLAGS", "CC_", "AR_", "CXX", "LDFLAGS"];
    // How many run at once changes nothing.
    (name != "CARGO_BUILD_JOBS" && prefixes.iter().any(|prefix| name.starts_with(prefix)))
        || ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_INCREMENTAL", "CC", "AR"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_set_for_other_builds_does_not_reach_a_release() {
        for name in ["RUSTFLAGS", "CARGO_INCREMENTAL", "CARGO_PROFILE_RELEASE_LTO", "CARGO_TARGET_DIR", "CC", "CFLAGS"]
        {
            assert!(changes_the_result(name), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_NET_OFFLINE", "RUSTUP_TOOLCHAIN"] {
            assert!(!changes_the_result(name), "{name}");
        }
    }
}
