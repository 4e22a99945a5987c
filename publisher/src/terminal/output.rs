//! Writes output: results for machines go to stdout, remarks for people to stderr.
//!
//! A reader that closes the pipe early (`faultline … | head -1`) has what it wanted, so that is not an error.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde::Serialize;

use super::escape;

/// How a result is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Plain text, one fact per line.
    Text,
    /// One JSON object.
    Json,
}

/// How results are written to stdout, as it can be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Written {
    /// Plain text, one fact a line.
    Text,
    /// One JSON value.
    Json,
    /// SARIF 2.1.0, for code scanning; `validate` only.
    Sarif,
}

impl Written {
    /// The format for commands that do not support SARIF; `None` if it is SARIF.
    pub(crate) fn format(self) -> Option<Format> {
        match self {
            Self::Text => Some(Format::Text),
            Self::Json => Some(Format::Json),
            Self::Sarif => None,
        }
    }
}

/// Writes a result to stdout and ends it with a line end. Control characters in it are shown, not sent.
///
/// # Errors
/// When writing to stdout fails for any reason but a closed pipe.
pub(crate) fn result(text: &str) -> anyhow::Result<()> {
    styled(&escape::lines(text))
}

/// Writes a result that sets colours itself, and in which everything of strangers is escaped already.
///
/// # Errors
/// As [`result`].
pub(crate) fn styled(text: &str) -> anyhow::Result<()> {
    bytes(format!("{}\n", text.trim_end()).as_bytes())
}

/// Writes content to stdout as it is, for a file or another program.
///
/// # Errors
/// As [`result`].
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::anyhow!("cannot write the result: {error}")),
        _ => Ok(()),
    }
}

/// Writes a result to stdout as JSON.
///
/// # Errors
/// As [`result`].
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    styled(&escape::json(&serde_json::to_string_pretty(value)?))
}

/// Writes a remark for people to stderr. Control characters in it are shown, not sent. A failure to write it is
/// ignored.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", escape::lines(text));
}

/// Whether requests to registries are shown.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Shows requests to registries from now on.
pub(crate) fn be_verbose() {
    VERBOSE.store(true, Ordering::Relaxed);
}

/// What shows a request to a registry; `None` unless [`be_verbose`] was called.
pub(crate) fn on_exchange() -> Option<fn(&str)> {
    VERBOSE.load(Ordering::Relaxed).then_some(note as fn(&str))
}

/// Prints warnings to stderr, each on a line of its own. They change no exit code.
pub(crate) fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
}

/// Whether stdout is a terminal, which must not be sent content as it is.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A size for people: `213.4 kB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Width of the terminal in columns: `COLUMNS` if set, otherwise the terminal's width, otherwise 100.
pub(crate) fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.or_else(|| terminal_size::terminal_size().map(|(terminal_size::Width(width), _)| usize::from(width)))
        .unwrap_or(100)
}

/// Whether to use colours on stdout: only on a terminal, and not if `NO_COLOR` is set or the terminal is dumb.
pub(crate) fn takes_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb
}
