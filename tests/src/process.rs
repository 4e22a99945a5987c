//! Running a program to its end, with its input given and its output taken.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs a program with `stdin`, whatever comes of it.
///
/// # Errors
/// When it cannot be run.
pub fn output_of(command: &mut Command, stdin: &str) -> Result<Output> {
    let program = command.get_program().to_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run {}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that ends without reading its input is judged by how it ends.
        let _ = input.write_all(stdin.as_bytes());
    }
    Ok(child.wait_with_output()?)
}

/// Runs a program with `stdin` and returns its standard output without the last line end.
///
/// # Errors
/// When it fails; the message has its standard error.
pub fn stdout_of(command: &mut Command, stdin: &str) -> Result<String> {
    let output = output_of(command, stdin)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{complaint}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
