//! Asks for passwords at the terminal, without echo, and restores the terminal afterwards.
//!
//! When to ask, and what to do without a terminal, is up to the caller.

use std::io::{Error, ErrorKind};

/// The user pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Asks for a password.
///
/// # Errors
/// When there is no terminal, its input ends, or Ctrl-C is pressed ([`Interrupted`]).
pub(crate) fn password(question: impl AsRef<str>) -> anyhow::Result<String> {
    // At Ctrl-C the library sends SIGINT before it restores the terminal's echo. Catching the signal keeps the process
    // alive until that is done.
    #[cfg(unix)]
    let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    rpassword::prompt_password(question.as_ref()).map_err(|error: Error| match error.kind() {
        ErrorKind::Interrupted => Interrupted.into(),
        _ => error.into(),
    })
}
