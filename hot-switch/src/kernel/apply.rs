//! Runs the programs that read and change rules, in the calling thread's network namespace. No shell.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::rules::{Backend, Rules};
use super::{nft_json, save_text};

/// No pod's rules are longer, and no complaint. Who may set rules in a pod could else fill the memory of the agent,
/// which looks after all pods of its node.
const LONGEST: u64 = 4 * 1024 * 1024;

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
    Ok(Some(output_of(child).with_context(|| format!("what {program} prints"))?))
}

fn output_of(mut child: Child) -> Result<Output> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = thread::scope(|scope| {
        let stderr = scope.spawn(|| beginning_of(err));
        (beginning_of(out), stderr.join().unwrap_or_default())
    });
    // One that still prints finds nobody that reads, and ends.
    let status = child.wait()?;
    let longest = usize::try_from(LONGEST)?;
    ensure!(stdout.len() <= longest, "it is longer than {} MiB: no pod of Istio's has so many rules", LONGEST >> 20);
    Ok(Output { status, stdout, stderr })
}

/// What comes, up to a byte more than may.
fn beginning_of(pipe: Option<impl Read>) -> Vec<u8> {
    let mut read = Vec::new();
    // What was read before an error counts; the program's status says the rest.
    let _ = pipe.map(|pipe| pipe.take(LONGEST + 1).read_to_end(&mut read));
    read
}

fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    if first.is_empty() { format!("{}", output.status) } else { first.join(" / ") }
}
