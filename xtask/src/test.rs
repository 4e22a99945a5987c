//! `cargo xtask test`: everything that must pass before a change is merged, one step after the other.
//!
//! A step that fails does not stop the next, so that one run reports all failures. Only a failure of set-up or of the
//! module's build ends the run, because later steps need both. A step whose tool is missing fails in CI; elsewhere it
//! is skipped and listed at the end with all other skipped checks.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::process::{self, SHORT, capture};
use crate::setup::{self, Scope, Tools};
use crate::tools::cargo_tools;
use crate::workspace::Workspace;
use crate::{fuzz, skipped, tidy, wasm};

/// The time for each fuzz target, in seconds.
const FUZZ_SECONDS: u64 = 60;

/// The result of a step.
enum Outcome {
    Passed,
    /// It was not run, for this reason.
    Skipped(String),
    Failed(String),
}

/// What the steps need to run.
struct Run<'a> {
    workspace: &'a Workspace,
    tools: Tools,
}

type Step = fn(&Run) -> Outcome;

const STEPS: [(&str, Step); 8] = [
    ("cargo fmt", |run| run.with_component("rustfmt", &["fmt", "--all", "--check"])),
    ("cargo clippy", |run| {
        run.with_component("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    }),
    ("tidy", |run| outcome(tidy::run(run.workspace))),
    ("cargo deny", |run| run.deny(&["check", "bans", "licenses", "sources"])),
    ("cargo deny advisories", |run| run.advisories()),
    // After the module, because the publisher embeds it; before the tests, because they run the publisher.
    ("publisher build", |run| outcome(process::run(&mut run.cargo(&["build", "--package", "publisher"])))),
    ("fuzz", |run| outcome(fuzz::run(run.workspace, FUZZ_SECONDS))),
    // Last, so that the run ends with its closing lines.
    ("cargo test", |run| outcome(process::run(&mut run.cargo(&["test", "--workspace", "--no-fail-fast"])))),
];

/// Runs every step in order, then prints a line for each, and what was skipped.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let started = Instant::now();
    skipped::start(workspace)?;
    heading("set-up");
    let tools = setup::run(workspace, Scope::Tests)?;
    heading("wasm build");
    wasm::build(workspace, tools.toolchain)?;

    let run = Run { workspace, tools };
    let mut lines = Vec::new();
    let mut failed = false;
    for (name, step) in STEPS {
        heading(name);
        let begun = Instant::now();
        let outcome = step(&run);
        let seconds = begun.elapsed().as_secs();
        lines.push(match outcome {
            Outcome::Passed => format!("passed   {name} ({seconds} s)"),
            Outcome::Skipped(why) => {
                skipped::add(workspace, name, &why)?;
                format!("skipped  {name}")
            }
            Outcome::Failed(why) => {
                eprintln!("failed: {why}");
                failed = true;
                format!("FAILED   {name} ({seconds} s): {why}")
            }
        });
    }

    heading("summary");
    for line in lines {
        eprintln!("{line}");
    }
    let skipped = skipped::list(workspace)?;
    if !skipped.is_empty() {
        eprintln!("\nskipped, and why:");
        for line in skipped {
            eprintln!("  {line}");
        }
        eprintln!();
    }
    eprintln!("{} in {} s", if failed { "FAILED" } else { "all passed" }, started.elapsed().as_secs());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn heading(name: &str) {
    eprintln!("\n== {name} ==");
}

fn outcome(result: Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// The outcome of a step whose tool is missing although set-up should have installed it.
fn without_tool(error: &anyhow::Error, is_ci: bool) -> Outcome {
    let why = format!("{error:#}");
    if is_ci { Outcome::Failed(why) } else { Outcome::Skipped(why) }
}

impl Run<'_> {
    fn cargo(&self, words: &[&str]) -> Command {
        let mut cargo = self.workspace.cargo();
        self.tools.tell(&mut cargo);
        cargo.args(words).env(skipped::VARIABLE, self.workspace.skipped());
        cargo
    }

    /// Runs a cargo command that belongs to one of rustup's components, and adds the component if it is missing.
    fn with_component(&self, component: &str, words: &[&str]) -> Outcome {
        let program = match component {
            "rustfmt" => "cargo-fmt",
            _ => "cargo-clippy",
        };
        // rustup leaves a proxy on PATH for components that are not installed; a component that answers is installed.
        let answers = || capture(Command::new(program).arg("--version")).is_some();
        if !answers() {
            eprintln!("set-up: installing rustup's component {component}: this step needs it");
            let mut rustup = Command::new("rustup");
            rustup.args(["component", "add", component]);
            if let Err(error) = process::run_logged(&mut rustup, &self.workspace.log(), SHORT) {
                let what = format!("no {component}; with a network, run `rustup component add {component}`");
                return without_tool(&error.context(what), skipped::is_ci());
            }
        }
        outcome(process::run(&mut self.cargo(words)))
    }

    fn deny(&self, words: &[&str]) -> Outcome {
        match cargo_tools::deny(self.workspace) {
            Ok(program) => {
                let mut deny = Command::new(program);
                self.workspace.prepare(&mut deny);
                outcome(process::run(deny.args(words)))
            }
            Err(error) => without_tool(&error, skipped::is_ci()),
        }
    }

    /// Checks the advisories. Their database is on the network and optional: without it, the check is skipped.
    fn advisories(&self) -> Outcome {
        let program = match cargo_tools::deny(self.workspace) {
            Ok(program) => program,
            Err(error) => return without_tool(&error, skipped::is_ci()),
        };
        let mut fetch = Command::new(program);
        self.workspace.prepare(&mut fetch);
        match process::run_logged(fetch.args(["fetch", "db"]), &self.workspace.log(), SHORT) {
            Ok(()) => self.deny(&["check", "advisories"]),
            Err(error) => Outcome::Skipped(format!("the database of advisories cannot be fetched ({error:#})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_fails_in_ci_and_is_skipped_elsewhere() {
        let error = anyhow::anyhow!("no cargo-deny");
        assert!(matches!(without_tool(&error, true), Outcome::Failed(why) if why == "no cargo-deny"));
        assert!(matches!(without_tool(&error, false), Outcome::Skipped(why) if why == "no cargo-deny"));
    }
}
