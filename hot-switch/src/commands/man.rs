//! `hot-switch man`: writes manual pages from the same text as `--help`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use clap_mangen::Man;

use super::outcome::Outcome;

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Manual {
    /// Write a page for each command into this directory, instead of the program's to stdout.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Manual {
    /// Prints the manual page of the program, or writes one for each command of `command` into a directory.
    ///
    /// # Errors
    /// If a page cannot be written.
    pub fn run(self, mut command: clap::Command) -> Result<Outcome> {
        command.build();
        let Some(dir) = &self.dir else {
            std::io::stdout().write_all(&page(command)?).context("the page cannot be written")?;
            return Ok(Outcome::Done);
        };
        let write = |name: &str, command: clap::Command| {
            let file = dir.join(format!("{name}.1"));
            let page = page(command)?;
            fs::write(&file, page).with_context(|| format!("{}: cannot be written; create its folder", file.display()))
        };
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let name = format!("hot-switch-{}", subcommand.get_name());
            write(&name, subcommand.clone().version(env!("CARGO_PKG_VERSION")))?;
        }
        write("hot-switch", command)?;
        Ok(Outcome::Done)
    }
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut roff = Vec::new();
    Man::new(command).render(&mut roff).context("a page cannot be made")?;
    Ok(roff)
}
