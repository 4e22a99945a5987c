//! `faultline`: packages the filter as an OCI artifact, pushes it to any registry, and writes the manifests that put it into a
//! mesh.
//!
//! Reading order: [`cli`] (what can be typed), [`reference`] (the name of an artifact), [`module`] (is it a plugin),
//! [`check`] (is it ours), [`artifact`] (the bytes that are published), [`image`] (what a mesh accepts), [`consumers`] (and others), [`store`] with [`registry`] and [`layout`]
//! (where artifacts live), then one file for each command. This one only dispatches and turns the outcome into an exit code.

#![forbid(unsafe_code)]

mod archive;
mod artifact;
mod attach;
mod auth;
mod build_info;
mod check;
mod cli;
mod consumers;
mod copy;
mod credential_file;
mod digest;
mod embedded;
mod fault;
mod files;
mod from;
mod host;
mod image;
mod inspect;
mod layout;
mod list;
mod login;
mod man;
mod manifest;
mod mesh;
mod module;
mod output;
mod progress;
mod prompt;
mod pull;
mod push;
mod reference;
mod registry;
mod report;
mod retry;
mod sign;
mod signature;
mod store;
mod tag;
mod validate;
mod verify;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// What was checked is not as it should be; it has been said what.
    Findings,
}

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; no tag was moved and no file was left half written")]
pub struct Interrupted;

fn main() -> ExitCode {
    match run(cli::Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            if error.is::<cli::WrongUsage>() {
                ExitCode::from(2)
            } else if error.is::<Interrupted>() {
                ExitCode::from(130) // as shells have it: 128 and the signal's number
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<Outcome> {
    // The HTTP client takes the process's provider of cryptography. That one is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            // The command first: as long as it waits for a user name, Ctrl-C is the system's own business, and ends it.
            biased;
            outcome = dispatch(cli) => outcome,
            Ok(()) = tokio::signal::ctrl_c() => Err(Interrupted.into()),
        }
    });
    // What still looks up a name is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(cli: cli::Cli) -> anyhow::Result<Outcome> {
    let written = cli.output;
    let format = match &cli.command {
        cli::Command::Validate(_) => output::Format::Text, // it reads `written`
        _ => written.format()?,
    };
    match cli.command {
        cli::Command::Push(args) => push::run(args, format).await,
        cli::Command::Pull(args) => pull::run(args, format).await,
        cli::Command::Inspect(args) => inspect::run(args, format).await,
        cli::Command::Sign(args) => sign::run(args, format).await,
        cli::Command::Verify(args) => verify::run(args, format).await,
        cli::Command::GenerateKeyPair(args) => sign::generate(&args, format),
        cli::Command::Attach(args) => attach::run(args, format).await,
        cli::Command::Man(args) => man::run(&args),
        cli::Command::Copy(args) => copy::run(*args, format).await,
        cli::Command::Tag(args) => tag::run(args, format).await,
        cli::Command::List(args) => list::run(args, format).await,
        cli::Command::Login(args) => login::login(args, format).await,
        cli::Command::Logout(args) => login::logout(&args, format),
        cli::Command::Manifest(args) => manifest::run(*args, format).await,
        cli::Command::Config(args) => from::run(&args),
        cli::Command::Validate(args) => validate::run(*args, written).await,
        cli::Command::Report(args) => report::run(args, format),
        cli::Command::Watch(args) => watch::run(args, format).await,
        cli::Command::ConfigSchema => {
            output::json(&filter_core::config::json_schema())?;
            Ok(Outcome::Done)
        }
        cli::Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::Cli::command(), "faultline", &mut script);
            output::result(&String::from_utf8_lossy(&script))?;
            Ok(Outcome::Done)
        }
    }
}
