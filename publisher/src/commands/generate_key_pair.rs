//! `faultline generate-key-pair`: creates the keys for `sign` and `verify`, in cosign's form.

use std::path::PathBuf;

use anyhow::{anyhow, ensure};
use clap::Args;
use serde_json::json;

use crate::commands::outcome::Outcome;
use crate::files;
use crate::signature::key;
use crate::terminal::output::{self, Format};
use crate::terminal::prompt::{self, Interrupted};

/// The end of the help.
pub(crate) const HELP: &str = "\
Writes cosign.key, encrypted with the password in COSIGN_PASSWORD or one that is asked for, and cosign.pub. cosign can \
use both. Files that are there already are not overwritten.

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
    if std::env::var_os(key::PASSWORD_VARIABLE).is_some() {
        return password();
    }
    let first = password()?;
    let second = prompt::password("the same again: ")?;
    ensure!(first == second, "the passwords differ; run it again");
    Ok(first)
}

/// The password for a private key: from the environment, otherwise asked for at the terminal.
///
/// # Errors
/// When there is neither a variable nor a terminal, or Ctrl-C is pressed.
pub(crate) fn password() -> anyhow::Result<String> {
    match std::env::var(key::PASSWORD_VARIABLE) {
        Ok(password) => Ok(password),
        Err(_) => prompt::password("password for the private key: ").map_err(|error| match error.is::<Interrupted>() {
            true => error,
            false => anyhow!("the key needs a password, and none came from a terminal; set {}", key::PASSWORD_VARIABLE),
        }),
    }
}
