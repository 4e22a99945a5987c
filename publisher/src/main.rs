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
mod commands;
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
mod terminal;
mod validate;
mod verify;
mod watch;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::terminal::output;
use crate::terminal::prompt::Interrupted;

fn main() -> ExitCode {
    match run(cli::Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            if error.is::<WrongUsage>() {
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
            outcome = cli::dispatch(cli) => outcome,
            Ok(()) = tokio::signal::ctrl_c() => Err(Interrupted.into()),
        }
    });
    // What still looks up a name is not waited for.
    runtime.shutdown_background();
    outcome
}
