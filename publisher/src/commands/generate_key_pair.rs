//! `faultline generate-key-pair`: creates the keys for `sign` and `verify`, in cosign's form.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use serde_json::json;

use crate::commands::outcome::Outcome;
use crate::files;
use crate::signature::key;
use crate::terminal::output::{self, Format};
use crate::terminal::prompt::{self, Interrupted};

/// The end of the help.
pub(crate) const HELP: &str = "\
Writes cosign.key, encrypted with a password, and cosign.pub. cosign can use both. The password is that in \
COSIGN_PASSWORD, else what comes by a pipe, else it is asked for. Files that are there already are not overwritten.

Examples:
  faultline generate-key-pair
  COSIGN_PASSWORD=$(cat password.txt) faultline generate-key-pair --output-key-prefix release";

/// `faultline generate-key-pair`
#[derive(Debug, Args)]
pub(crate) struct GenerateKeyPair {
    /// Names of the files, without .key and .pub.
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    pub(crate) output_key_prefix: PathBuf,
}

/// Writes a new key pair into two files.
///
/// # Errors
/// When a file already exists or cannot be written, or two typed passwords differ.
pub(crate) fn run(args: &GenerateKeyPair, format: Format) -> anyhow::Result<Outcome> {
    let [private_file, public_file] = ["key", "pub"].map(|end| {
        let mut name = args.output_key_prefix.clone().into_os_string();
        name.push(format!(".{end}"));
        PathBuf::from(name)
    });
    for file in [&private_file, &public_file] {
        ensure!(
            !file.exists(),
            "`{}` is there already; move it away, or choose another --output-key-prefix",
            file.display()
        );
    }
    let password = new_password()?;
    let (private, public) = key::generate(&password)?;
    files::write_private(&private_file, private.as_bytes())?;
    files::write(&public_file, public.as_bytes())?;
    match format {
        Format::Text => output::result(&format!("{}\n{}", private_file.display(), public_file.display()))?,
        Format::Json => output::json(&json!({"privateKey": private_file, "publicKey": public_file}))?,
    }
    Ok(Outcome::Done)
}

fn new_password() -> anyhow::Result<String> {
    if std::env::var_os(key::PASSWORD_VARIABLE).is_some() || !std::io::stdin().is_terminal() {
        return password(false);
    }
    let first = password(false)?;
    let second = prompt::password("the same again: ")?;
    ensure!(first == second, "the passwords differ; run it again");
    Ok(first)
}

/// As much of a password is read from a pipe.
const MOST_BYTES: u64 = 64 << 10;

/// The password for a private key: from the environment, else from standard input if that is a pipe or a file, else
/// asked for at the terminal. `stdin_is_taken`: something else is read from there.
///
/// # Errors
/// When none of them has one, or Ctrl-C is pressed.
pub(crate) fn password(stdin_is_taken: bool) -> anyhow::Result<String> {
    if let Ok(password) = std::env::var(key::PASSWORD_VARIABLE) {
        return Ok(password);
    }
    let without = || {
        anyhow!(
            "the key needs a password, and none came from standard input or a terminal; set {}",
            key::PASSWORD_VARIABLE
        )
    };
    if !std::io::stdin().is_terminal() && !stdin_is_taken {
        let mut piped = String::new();
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut piped).context("the password on standard input")?;
        // Nothing at all is no password; an empty line is an empty one.
        let line = piped.strip_suffix('\n').map_or(piped.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        return if piped.is_empty() { Err(without()) } else { Ok(line.to_owned()) };
    }
    prompt::password("password for the private key: ").map_err(|error| match error.is::<Interrupted>() {
        true => error,
        false => without(),
    })
}
