//! `faultline`: packages the filter as an OCI artifact, pushes it to any registry, and writes the manifests that put it
//! into a mesh.
//!
//! This file turns a command's outcome into an exit code, and Ctrl-C into the end of the command. [`cli`] says what can
//! be typed, [`commands`] has a file for each command, and everything else is a library that knows neither and prints
//! nothing.

#![forbid(unsafe_code)]

mod artifact;
mod cli;
mod commands;
mod content;
mod credentials;
mod engine;
mod files;
mod from_mesh;
mod incident;
mod manifest;
mod module;
mod reference;
mod signature;
mod store;
mod terminal;
mod validate;

use std::process::ExitCode;

use anyhow::Context;

use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::terminal::output;
use crate::terminal::prompt::Interrupted;

fn main() -> ExitCode {
    let cli = cli::parse();
    let when_interrupted = cli.command.when_interrupted();
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Err(error) if error.is::<Interrupted>() => {
            output::note(&format!("error: {error:#}{when_interrupted}"));
            ExitCode::from(130) // as shells do: 128 plus the signal's number
        }
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            if error.is::<WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<Outcome> {
    // The HTTP client uses the process-wide provider of cryptography. An already installed provider is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            // The command first: while it waits for a user name, the system itself handles Ctrl-C and ends it.
            biased;
            outcome = cli::dispatch(cli) => outcome,
            Ok(()) = tokio::signal::ctrl_c() => Err(Interrupted.into()),
        }
    });
    // A DNS lookup may still run on another thread; it is not waited for.
    runtime.shutdown_background();
    outcome
}
