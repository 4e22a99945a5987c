//! `cargo xtask test`: everything that must hold before a change goes in, one step after the other.
//!
//! A step that fails does not stop the next, so that one run tells all; only set-up and the module's build do, because
//! nothing after them would mean anything. Steps whose tool is neither there nor to be had are skipped and say so.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::process::{self, SHORT, capture, find_on_path};
use crate::setup::{self, Scope};
use crate::workspace::Workspace;
use crate::{fuzz, tidy, wasm};

/// Seconds for each fuzz target.
const FUZZ_SECONDS: u64 = 60;

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Every step in order, then a line for each.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let started = Instant::now();
    heading("set-up");
    let tools = setup::run(workspace, Scope::Tests)?;
    heading("wasm build");
    wasm::build(workspace, tools.toolchain)?;

    let cargo = |words: &[&str]| {
        let mut cargo = workspace.cargo();
        tools.tell(&mut cargo);
        cargo.args(words);
        cargo
    };
    let steps: [(&str, &dyn Fn() -> Outcome); 8] = [
        ("cargo fmt", &|| with_component(workspace, "rustfmt", &mut cargo(&["fmt", "--all", "--check"]))),
        ("cargo clippy", &|| {
            let words = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            with_component(workspace, "clippy", &mut cargo(&words))
        }),
        ("tidy", &|| outcome(tidy::run(workspace))),
        ("cargo deny", &|| {
            with_deny(|| outcome(process::run(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))))
        }),
        ("cargo deny advisories", &|| with_deny(|| advisories(workspace, &cargo))),
        // After the module, which it embeds; before the tests, which run it.
        ("publisher build", &|| outcome(process::run(&mut cargo(&["build", "--package", "publisher"])))),
        ("fuzz", &|| outcome(fuzz::run(workspace, FUZZ_SECONDS))),
        // Last, so that its closing lines are the run's.
        ("cargo test", &|| outcome(process::run(&mut cargo(&["test", "--workspace", "--no-fail-fast"])))),
    ];

    let mut lines = Vec::new();
    let mut failed = false;
    for (name, step) in steps {
        heading(name);
        let begun = Instant::now();
        let outcome = step();
        let seconds = begun.elapsed().as_secs();
        lines.push(match outcome {
            Outcome::Passed => format!("passed   {name} ({seconds} s)"),
            Outcome::Skipped(why) => {
                eprintln!("skipped: {why}");
                format!("skipped  {name}: {why}")
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

/// Runs a cargo command that comes with one of rustup's components, adding the component if it is missing.
fn with_component(workspace: &Workspace, component: &str, command: &mut Command) -> Outcome {
    let program = match component {
        "rustfmt" => "cargo-fmt",
        _ => "cargo-clippy",
    };
    // rustup leaves a proxy on PATH for components that are not installed; only one that answers is there.
    let answers = || capture(Command::new(program).arg("--version")).is_some();
    if !answers() {
        eprintln!("set-up: installing rustup's component {component}: this step needs it");
        let mut rustup = Command::new("rustup");
        rustup.args(["component", "add", component]);
        if let Err(error) = process::run_logged(&mut rustup, &workspace.log(), SHORT) {
            return Outcome::Skipped(format!(
                "no {component} ({error:#}); with a network, `rustup component add {component}`"
            ));
        }
    }
    outcome(process::run(command))
}

/// Runs a step of cargo-deny, which set-up does not install because it takes minutes to compile.
fn with_deny(step: impl FnOnce() -> Outcome) -> Outcome {
    if find_on_path("cargo-deny").is_none() {
        return Outcome::Skipped("cargo-deny is not on PATH; `cargo install cargo-deny --locked`".to_owned());
    }
    step()
}

/// The database of advisories lies on the network; without it nothing can be said about them.
fn advisories(workspace: &Workspace, cargo: &dyn Fn(&[&str]) -> Command) -> Outcome {
    match process::run_logged(&mut cargo(&["deny", "fetch", "db"]), &workspace.log(), SHORT) {
        Ok(()) => outcome(process::run(&mut cargo(&["deny", "check", "advisories"]))),
        Err(error) => Outcome::Skipped(format!("the database of advisories cannot be fetched ({error:#})")),
    }
}
