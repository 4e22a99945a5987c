//! The command line: what can be typed.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::commands::outcome::Outcome;
use crate::commands::{agent, by_hand, check, controller, stand_in, status};

/// The end of the help.
const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 it could not be done, and why is on stderr; 2 the command line is wrong; 3 `check` found errors or \
warnings. `hot-switch COMMAND --help` has examples.";

/// Takes a pod's traffic past its dead sidecar, and back when the sidecar is well.
#[derive(Debug, Parser)]
#[command(name = "hot-switch", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. One is listed when it does something.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look after the pods of this node: probe, confirm, bypass, restore.
    Agent(Box<agent::Agent>),
    /// Say which pods may be bypassed, over all nodes, and tell their callers.
    Controller(controller::Controller),
    /// Answer a pod's probes in the place of a dead proxy: the entrypoint of the stand-in image.
    StandIn(stand_in::Serve),
    /// Show which of this node's pods are bypassed, from their kernels.
    Status(status::Status),
    /// Take a pod's traffic past its proxy, by hand.
    Bypass(by_hand::Bypass),
    /// Give a pod's traffic back to its proxy, by hand.
    Restore(by_hand::Restore),
    /// Tell for each workload what a bypass would bring back, inbound and outbound, and why not.
    Check(check::Check),
}

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
    match cli.command {
        Command::Agent(command) => command.run(),
        Command::Controller(command) => command.run(),
        Command::StandIn(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Bypass(command) => command.run(),
        Command::Restore(command) => command.run(),
        Command::Check(command) => command.run(),
    }
}
