//! Runs a program to its end with an input, and waits until a server answers.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::net::http::Client;
use crate::wait::SAFETY_NET;

/// Runs a program with `stdin`, whether or not it succeeds.
///
/// # Errors
/// If it cannot be run.
pub fn output_of(command: &mut Command, stdin: &str) -> Result<Output> {
    let program = command.get_program().to_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run {}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        // A program may end without reading its input; its status says whether that is a failure.
        let _ = input.write_all(stdin.as_bytes());
    }
    Ok(child.wait_with_output()?)
}

/// Runs a program with `stdin` and returns its standard output without the last line end.
///
/// # Errors
/// If it fails; the message contains its standard error.
pub fn stdout_of(command: &mut Command, stdin: &str) -> Result<String> {
    let output = output_of(command, stdin)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{complaint}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Waits until a server that was just started answers a GET of `path` with 200.
///
/// # Errors
/// If it ends, or does not answer within [`SAFETY_NET`]; the message contains its log.
pub fn wait_for_answer(name: &str, child: &mut Child, address: SocketAddr, path: &str, log: &Path) -> Result<()> {
    let started = Instant::now();
    while !Client::new(address, "localhost").get(path).is_ok_and(|answer| answer.status == 200) {
        if child.try_wait()?.is_some() || started.elapsed() > SAFETY_NET {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name} does not answer; its log:\n{}", std::fs::read_to_string(log).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
