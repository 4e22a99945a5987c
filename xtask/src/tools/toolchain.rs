//! The toolchain that builds the module.
//!
//! There are two. The usual one is the Rust that runs xtask, with the target wasm32-unknown-unknown added by rustup. If
//! rustup cannot download, Debian's own packages build the target's standard library from source. The module's bytes
//! may differ between the two but its behaviour must not, so the tests run on the module of either.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::apt::{self, Lists};
use super::version;
use crate::process::{self, SHORT, capture};
use crate::workspace::Workspace;

/// The variable that chooses the toolchain: `rustup` or `debian`. If it is unset: rustup's if it is installed or can
/// be, or else Debian's.
pub(crate) const TOOLCHAIN_VARIABLE: &str = "FAULTLINE_WASM_TOOLCHAIN";

/// Rust's name for the target that Envoy runs.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";

/// The workspace's `rust-version`.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A toolchain that builds for wasm32-unknown-unknown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The Rust that runs xtask, with the target's standard library installed.
    Rustup,
    /// Debian's rustc-web, which also compiles the standard library.
    Debian,
}

impl Toolchain {
    /// The toolchain's name in `FAULTLINE_WASM_TOOLCHAIN`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        }
    }

    pub(crate) fn rustc(self) -> &'static str {
        match self {
            Self::Rustup => "rustc",
            Self::Debian => DEBIAN_RUSTC,
        }
    }

    /// The toolchain that the environment names, if any.
    fn forced() -> Result<Option<Self>> {
        match std::env::var(TOOLCHAIN_VARIABLE).as_deref() {
            Err(_) | Ok("") => Ok(None),
            Ok("rustup") => Ok(Some(Self::Rustup)),
            Ok("debian") => Ok(Some(Self::Debian)),
            Ok(other) => {
                bail!("{TOOLCHAIN_VARIABLE}={other}: set it to `rustup` or `debian`, or unset it")
            }
        }
    }

    /// Whether it can build now, without the network.
    fn is_ready(self) -> bool {
        match self {
            Self::Rustup => {
                sysroot("rustc").is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir())
            }
            Self::Debian => {
                version_of(DEBIAN_RUSTC).as_deref().and_then(version::parse) >= version::parse(OLDEST_RUST)
                    && process::is_executable(Path::new(DEBIAN_CARGO))
                    && process::is_executable(Path::new(DEBIAN_LINKER))
                    && sysroot(DEBIAN_RUSTC).is_some_and(|root| root.join("lib/rustlib/src/rust/library").exists())
            }
        }
    }

    fn install(self, log: &Path) -> Result<()> {
        match self {
            Self::Rustup => process::run_logged(Command::new("rustup").args(["target", "add", TARGET]), log, SHORT),
            // Old lists may name a version that is too old although a security update is new enough.
            Self::Debian => apt::install(&DEBIAN_PACKAGES, Lists::Newest, log),
        }
    }

    /// `cargo build` with this toolchain, without inherited variables that would change the module.
    pub(crate) fn cargo_build(self, workspace: &Workspace) -> Command {
        let mut cargo = match self {
            Self::Rustup => workspace.cargo(),
            Self::Debian => {
                let mut cargo = Command::new(DEBIAN_CARGO);
                workspace.prepare(&mut cargo);
                // rustup's cargo passes its own compiler and libraries to its children in these variables.
                for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTDOC", "LD_LIBRARY_PATH"] {
                    cargo.env_remove(variable);
                }
                // -Zbuild-std is not stable, but it is needed because no package contains the target's standard
                // library.
                cargo
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
                cargo
            }
        };
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
        ] {
            cargo.env_remove(variable);
        }
        cargo.args(["build", "--target", TARGET]);
        if self == Self::Debian {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }
}

/// A toolchain that can build, and whether it had to be installed.
pub(crate) fn ensure(workspace: &Workspace) -> Result<(Toolchain, bool)> {
    let forced = Toolchain::forced()?;
    let candidates = match forced {
        Some(toolchain) => vec![toolchain],
        None => vec![Toolchain::Rustup, Toolchain::Debian],
    };
    if let Some(ready) = candidates.iter().find(|toolchain| toolchain.is_ready()) {
        return Ok((*ready, false));
    }
    let mut reasons = Vec::new();
    for toolchain in candidates {
        let what = match toolchain {
            Toolchain::Rustup => format!("rustup's target {TARGET}"),
            Toolchain::Debian => format!("Debian's {}", DEBIAN_PACKAGES.join(", ")),
        };
        let why =
            reasons.last().map_or("the filter is a WebAssembly module, and nothing here can build one", String::as_str);
        eprintln!("set-up: installing {what}: {why}");
        match toolchain.install(&workspace.log()) {
            Ok(()) if toolchain.is_ready() => return Ok((toolchain, true)),
            Ok(()) => reasons.push(format!("{what} was installed, but is incomplete or older than Rust {OLDEST_RUST}")),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    bail!("no toolchain for {TARGET}; with a network, run `rustup target add {TARGET}` ({})", reasons.join("; "))
}

/// The version that a compiler prints, such as `1.95.0`; `None` if the compiler does not run.
pub(crate) fn version_of(rustc: &str) -> Option<String> {
    capture(Command::new(rustc).arg("--version"))?.split_whitespace().nth(1).map(str::to_owned)
}

/// The folder of a compiler's libraries; `None` if the compiler does not run.
pub(crate) fn sysroot(rustc: &str) -> Option<PathBuf> {
    capture(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}
