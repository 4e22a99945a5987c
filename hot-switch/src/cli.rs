//! The command line: what can be typed.

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::outcome::Outcome;
use crate::commands::{agent, by_hand, check, completions, controller, man, stand_in, status};

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
    /// Print the manual page, or write one for each command.
    Man(man::Manual),
    /// Print a shell's completion script.
    #[command(visible_alias = "completion")]
    Completions(completions::Completions),
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
        Command::Man(command) => command.run(Cli::command()),
        Command::Completions(command) => command.run(Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page() {
        Cli::command().debug_assert();
        let dir = tempfile::tempdir().unwrap();
        let typed = ["hot-switch", "man", "--dir", dir.path().to_str().unwrap()];
        assert_eq!(run(Cli::try_parse_from(typed).unwrap()).unwrap(), Outcome::Done);
        let page = |name: &str| std::fs::read_to_string(dir.path().join(format!("{name}.1"))).expect(name);
        assert!(page("hot-switch").contains(".TH hot-switch 1"));
        for command in Cli::command().get_subcommands() {
            assert!(page(&format!("hot-switch-{}", command.get_name())).contains(".SH NAME"));
        }
        let typed = ["hot-switch", "man", "--dir", "/nowhere/at/all"];
        let error = run(Cli::try_parse_from(typed).unwrap()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/hot-switch"), "{error}");
    }
}
