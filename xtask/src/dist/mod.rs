//! `cargo xtask dist`: the files of a release, the same bytes wherever the same commit is built.
//!
//! Static programs for Linux on x86-64 and arm64, with completions and manual pages; the module and its OCI artifact;
//! container images; what is in each of them; checksums, and with a key their signature. Nothing is published: that is
//! for `faultline copy` and whatever keeps files.

mod archive;
mod base;
mod check;
mod companions;
mod elf;
mod image;
mod krew;
mod layout;
mod programs;
mod release;
mod source;
mod target;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use crate::workspace::Workspace;
use release::{Made, SUMS, Wanted};
use source::Source;
use target::Target;

/// Options of `cargo xtask dist`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this target; may be given several times
    #[arg(long, value_enum, value_name = "TARGET")]
    target: Vec<Target>,
    /// Sign the list of checksums with this private key, cosign's or openssl's; env://NAME takes it from a variable
    #[arg(long, value_name = "FILE|env://NAME")]
    key: Option<String>,
    /// Where the archives will be fetched from: also write a manifest for krew
    #[arg(long, value_name = "URL")]
    download_url: Option<String>,
    /// An OCI layout of an image with nft and iptables, which hot-switch's agent runs: build its image upon that one
    #[arg(long, value_name = "DIR")]
    hot_switch_base: Option<PathBuf>,
    /// Build everything twice, in two folders, and compare: takes twice as long
    #[arg(long)]
    check: bool,
}

/// The exit code for a release that lacks a target.
const INCOMPLETE: u8 = 3;

/// Makes a release in `target/dist`.
///
/// # Errors
/// If it cannot be made, or with `--check` if it cannot be made again.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let source = Source::read(&workspace.root)?;
    if options.check && (source.revision.is_none() || source.is_dirty) {
        bail!("--check builds the commit again, and {} cannot be: commit first", source.described());
    }
    let targets = if options.target.is_empty() { &Target::ALL[..] } else { &options.target };
    let wanted = Wanted {
        targets,
        download_url: options.download_url.as_deref(),
        hot_switch_base: options.hot_switch_base.as_deref(),
        local_programs: None,
    };
    let folder = workspace.target.join("dist");
    let made = release::make(workspace, &folder, &source, &wanted)?;
    if let Some(key) = &options.key {
        sign(&made, &folder.join(SUMS), key)?;
    }
    eprintln!("dist: {} holds a release of {}", folder.display(), source.described());
    if options.check {
        check::again(workspace, &folder, &source, &wanted, &made)?;
        eprintln!("dist: built twice in different folders, every file the same");
    }
    for (target, why) in &made.missing {
        eprintln!("dist: MISSING: linux/{}: {why}", target.architecture());
    }
    Ok(if made.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

/// Signs a file; the signature is beside it, with `.sig` at the end of its name.
fn sign(made: &Made, file: &Path, key: &str) -> Result<()> {
    let publisher: &PathBuf = made.local_programs.first().context("the publisher was not built")?;
    let mut sign = Command::new(publisher);
    process::run(sign.arg("sign-blob").arg(file).args(["--key", key]))
}
