//! Asks for passwords at the terminal, which shows nothing of them and is left as it was.
//!
//! Deliberately not here: when to ask, and what to do where there is no terminal.

use std::io::{Error, ErrorKind};

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Asks for a password.
///
/// # Errors
/// When there is no terminal, its input ends, or Ctrl-C is pressed ([`Interrupted`]).
pub(crate) fn password(question: impl AsRef<str>) -> anyhow::Result<String> {
    // At Ctrl-C the library sends SIGINT before it gives the terminal its echo back: it must not end the program there.
    #[cfg(unix)]
    let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    rpassword::prompt_password(question.as_ref()).map_err(|error: Error| match error.kind() {
        ErrorKind::Interrupted => Interrupted.into(),
        _ => error.into(),
    })
}
