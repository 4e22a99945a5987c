//! `hot-switch completions`: prints a shell's completion script.

use std::io::Write as _;

use anyhow::{Context, Result};
use clap::Args;

use super::outcome::Outcome;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the completion script for the whole command line, `command`.
    ///
    /// # Errors
    /// If stdout cannot be written to.
    pub fn run(self, mut command: clap::Command) -> Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "hot-switch", &mut script);
        std::io::stdout().write_all(&script).context("the script cannot be written")?;
        Ok(Outcome::Done)
    }
}
