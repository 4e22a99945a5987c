//! The command line: what can be typed.

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::outcome::Outcome;
use crate::commands::{agent, by_hand, check, completions, controller, man, stand_in, status};

/// The end of the help.
const AFTER: &str = "\
Exit codes:
  0  done; `agent`, `controller` and `stand-in` end so on SIGTERM or SIGINT
  1  failed: the message says what; `status` shows what the pods have
  2  wrong usage
  3  `check` found errors or warnings; no other command ends so

Examples:
  hot-switch check --live --mode act              what a bypass would bring back, for each workload
  hot-switch status                               which pods of this node are bypassed
  hot-switch bypass --uid 8f9c0d1e-2b3a-4c5d-8e6f-7a8b9c0d1e2f    one pod of this node, by hand
  hot-switch restore --uid 8f9c0d1e-2b3a-4c5d-8e6f-7a8b9c0d1e2f   and back";

/// Takes a pod's traffic past its dead sidecar, and back when the sidecar is well.
#[derive(Debug, Parser)]
#[command(name = "hot-switch", version, after_help = AFTER, max_term_width = 110)]
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
    fn each_commands_own_help_is_shown_and_its_examples_can_be_typed() {
        for (command, words) in [
            ("agent", "complaints on stderr"),
            ("controller", "One of several leads"),
            ("stand-in", "Passes no traffic"),
            ("status", "Needs root"),
            ("bypass", "no budget, no consent"),
            ("restore", "does not bypass the pod again"),
        ] {
            let all = Cli::command();
            let help = all.find_subcommand(command).unwrap().get_after_help().unwrap().to_string();
            let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(words) && flat.contains("Exits with 0"), "{help}");
            let examples = help.lines().skip_while(|line| !line.starts_with("Examples:")).skip(1);
            let typed = examples.filter_map(|line| line.trim().strip_prefix("hot-switch "));
            for example in typed.filter(|example| !example.contains('|') && !example.contains('\'')) {
                let line = example.split("   ").next().unwrap_or_default();
                let typed = std::iter::once("hot-switch").chain(line.split_whitespace());
                if let Err(error) = Cli::try_parse_from(typed) {
                    panic!("{line}: {error}");
                }
            }
        }
    }

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
