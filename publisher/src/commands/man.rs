//! `faultline man`: writes manual pages from the same text as `--help`.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use clap_mangen::Man;

use crate::commands::outcome::Outcome;
use crate::files;
use crate::terminal::output;

/// The end of the help.
pub(crate) const HELP: &str = "\
Examples:
  faultline man | man -l -
  faultline man --dir /usr/local/share/man/man1";

/// `faultline man`
#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// Write a page for each command into this directory, and print their names.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Prints the manual page of the program, or writes one for each command of `command` into a directory.
///
/// # Errors
/// When a page cannot be written.
pub(crate) fn run(args: &Manual, mut command: clap::Command) -> anyhow::Result<Outcome> {
    command.build();
    let Some(dir) = &args.dir else {
        output::result(&page(command)?)?;
        return Ok(Outcome::Done);
    };
    ensure!(dir.is_dir(), "directory `{}` does not exist; create it or choose another", dir.display());
    let mut names = Vec::new();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("faultline-{}", subcommand.get_name());
        let subcommand = subcommand.clone().version(env!("CARGO_PKG_VERSION"));
        names.push((name, page(subcommand)?));
    }
    names.push(("faultline".to_owned(), page(command)?));
    names.sort();
    for (name, page) in &names {
        files::write(&dir.join(format!("{name}.1")), page.as_bytes())?;
    }
    let listing: Vec<_> = names.iter().map(|(name, _)| dir.join(format!("{name}.1")).display().to_string()).collect();
    output::result(&listing.join("\n"))?;
    Ok(Outcome::Done)
}

fn page(command: clap::Command) -> anyhow::Result<String> {
    let mut roff = Vec::new();
    Man::new(command).render(&mut roff).context("cannot write the page")?;
    String::from_utf8(roff).context("the page is not text")
}
