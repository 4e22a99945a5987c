//! Runs the programs that read and change rules, in the calling thread's network namespace. No shell.

use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::rules::{Backend, Rules};
use super::{nft_json, save_text};

/// Reads the rules of one backend. `None`: its program is not installed.
///
/// # Errors
/// If the program fails, or prints what cannot be read.
pub fn read(backend: Backend) -> Result<Option<Rules>> {
    let program = backend.reader();
    let words: &[&str] = match backend {
        Backend::Native => &["--json", "--handle", "list", "ruleset", "inet"],
        _ => &[],
    };
    let Some(output) = run(program, words, "")? else { return Ok(None) };
    if !output.status.success() {
        bail!("{program} failed: {}", complaint(&output));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let rules = match backend {
        Backend::Native => nft_json::read(&text)?,
        _ => save_text::read(backend, &text),
    };
    Ok(Some(rules))
}

/// Applies a text of [`super::plan`]: all of it, or nothing.
///
/// # Errors
/// If the program is not installed, or refuses the text.
pub fn write(backend: Backend, text: &str) -> Result<()> {
    let program = backend.writer();
    let words: &[&str] = match backend {
        Backend::Native => &["--file", "-"],
        _ => &["--noflush", "--wait", "5"],
    };
    let output = run(program, words, text)?
        .with_context(|| format!("{program} is not installed, and the pod's rules need it: put it into the image"))?;
    if !output.status.success() {
        bail!("{program} changed nothing: {}", complaint(&output));
    }
    Ok(())
}

/// `None`: it is not installed.
fn run(program: &str, words: &[&str], input: &str) -> Result<Option<Output>> {
    let mut command = Command::new(program);
    command.args(words).env_clear().env("LC_ALL", "C");
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{program} cannot be started")),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says why on stderr.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(Some(child.wait_with_output().with_context(|| format!("{program} cannot be waited for"))?))
}

fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    if first.is_empty() { format!("{}", output.status) } else { first.join(" / ") }
}
