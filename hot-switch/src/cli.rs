//! The command line: what can be typed.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::outcome::Outcome;

/// Takes a pod's traffic past its dead sidecar, and back when the sidecar is well.
#[derive(Debug, Parser)]
#[command(name = "hot-switch", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. One is listed when it does something.
#[derive(Debug, Subcommand)]
pub enum Command {}

/// Reads the command line; ends the program with help or a complaint where it is not a command.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

/// Does what was typed.
///
/// # Errors
/// What the command says.
pub fn run(cli: Cli) -> Result<Outcome> {
    match cli.command {}
}
