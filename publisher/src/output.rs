//! Where words go: results for machines on stdout, remarks for people on stderr.
//!
//! A reader that closes the pipe early (`faultline … | head -1`) has what it wanted: that is no error.

use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How a result is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text, one fact a line.
    Text,
    /// One JSON object.
    Json,
}

/// Writes a result to stdout, ending it with a line end.
///
/// # Errors
/// When stdout cannot be written to, other than by having been closed.
pub fn result(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.trim_end().as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::anyhow!("cannot write the result: {error}")),
        _ => Ok(()),
    }
}

/// Writes a result to stdout as JSON.
///
/// # Errors
/// As [`result`].
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    result(&serde_json::to_string_pretty(value)?)
}

/// Tells people something, on stderr. That it cannot be told is no reason to fail.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A size for people: `213.4 kB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
