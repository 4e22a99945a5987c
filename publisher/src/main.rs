//! `faultline`: packages the filter as an OCI artifact, pushes it to any registry, and writes the manifests that put it into a
//! mesh.
//!
//! Reading order: [`cli`] (what can be typed), [`reference`] (the name of an artifact), [`module`] (is it a plugin),
//! [`artifact`] (the bytes that are published), [`image`] (what a mesh accepts), [`store`] with [`registry`] and [`layout`]
//! (where artifacts live), then one file for each command. This one only dispatches and turns the outcome into an exit code.

#![forbid(unsafe_code)]

mod artifact;
mod auth;
mod cli;
mod digest;
mod fault;
mod files;
mod image;
mod inspect;
mod layout;
mod manifest;
mod module;
mod output;
mod progress;
mod pull;
mod push;
mod reference;
mod registry;
mod resource;
mod store;
mod validate;

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

fn main() -> ExitCode {
    match run(cli::Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            if error.is::<cli::WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<Outcome> {
    // The HTTP client takes the process's provider of cryptography. That one is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let format = cli.output;
    match cli.command {
        cli::Command::Push(args) => runtime.block_on(push::run(args, format)),
        cli::Command::Pull(args) => runtime.block_on(pull::run(args, format)),
        cli::Command::Inspect(args) => runtime.block_on(inspect::run(args, format)),
        cli::Command::Manifest(args) => runtime.block_on(manifest::run(*args, format)),
        cli::Command::Validate(args) => validate::run(&args, format),
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
