//! `faultline completions`: prints a shell's completion script.

use clap::Args;

use crate::commands::outcome::Outcome;
use crate::terminal::output;

/// The end of the help.
pub(crate) const HELP: &str = "\
Examples:
  faultline completions bash > /etc/bash_completion.d/faultline
  faultline completions zsh > /usr/local/share/zsh/site-functions/_faultline
  faultline completions fish > ~/.config/fish/completions/faultline.fish
  faultline completions powershell >> $PROFILE
  faultline completions elvish >> ~/.config/elvish/rc.elv";

/// `faultline completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// Prints the completion script for the whole command line, `command`.
///
/// # Errors
/// When stdout cannot be written to.
pub(crate) fn run(args: &Completions, mut command: clap::Command) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "faultline", &mut script);
    output::result(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
