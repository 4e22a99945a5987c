//! The `faultline` program, run as by a user but with separate credentials, so that the user's are neither read nor
//! changed.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::Result;
use tempfile::TempDir;

use crate::programs::run::{output_of, stdout_of};
use crate::programs::tools::Tool;

/// The program with an empty home directory.
#[derive(Debug)]
pub struct Publisher {
    program: PathBuf,
    home: TempDir,
}

impl Publisher {
    /// Finds the program.
    ///
    /// # Errors
    /// If it is not built.
    pub fn new() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("faultline-home-").tempdir()?;
        Ok(Self { program: Tool::Publisher.path()?, home })
    }

    /// The file in which it looks for credentials, in the format of `docker login` and `skopeo login`.
    pub fn docker_config(&self) -> PathBuf {
        self.home.path().join(".docker/config.json")
    }

    /// Runs it with `stdin`, whether or not it succeeds.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn run(&self, args: &[&str], stdin: &str) -> Result<Output> {
        output_of(&mut self.command(args), stdin)
    }

    /// Runs it and returns its standard output without the last line end.
    ///
    /// # Errors
    /// If it fails; the message contains its standard error.
    pub fn ok(&self, args: &[&str]) -> Result<String> {
        stdout_of(&mut self.command(args), "")
    }

    /// The program with these arguments, for more options or another environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env("HOME", self.home.path())
            .env("DOCKER_CONFIG", self.home.path().join(".docker"))
            .env_remove("REGISTRY_AUTH_FILE")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_RUNTIME_DIR");
        command
    }
}
