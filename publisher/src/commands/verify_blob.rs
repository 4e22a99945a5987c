//! `faultline verify-blob`: checks the signature of a file.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;

use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::commands::sign_blob::{beside, content, is_stdin};
use crate::signature::{blob, key};
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Exits with 3 if the signature is not of this file and this key. A signature or bundle of `cosign sign-blob \
--key` is read too, and the bytes that openssl writes.

Examples:
  faultline verify-blob SHA256SUMS --key cosign.pub && sha256sum --check --ignore-missing SHA256SUMS";

/// `faultline verify-blob`
#[derive(Debug, Args)]
pub(crate) struct VerifyBlob {
    /// What was signed; `-` is standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// The public key; env://NAME takes it from an environment variable.
    #[arg(long, value_name = "FILE|env://NAME")]
    pub(crate) key: PathBuf,
    /// The signature, or a bundle of cosign's; FILE with .sig at its end if not given.
    #[arg(long, value_name = "FILE", visible_alias = "bundle")]
    pub(crate) signature: Option<PathBuf>,
}

/// Checks a signature, and prints the file's name if it is valid.
///
/// # Errors
/// When something cannot be read. A signature that is not valid is a finding, not an error.
pub(crate) fn run(args: &VerifyBlob, format: Format) -> anyhow::Result<Outcome> {
    if is_stdin(&args.file) && args.signature.is_none() {
        return Err(WrongUsage(anyhow!("say with --signature where the signature of standard input is")).into());
    }
    let content = content(&args.file)?;
    let from = args.signature.clone().unwrap_or_else(|| beside(&args.file));
    let signature = std::fs::read(&from)
        .with_context(|| format!("cannot read the signature `{}`; say with --signature where it is", from.display()))?;
    let problem = blob::check(&content, &signature, &key::public(&args.key)?).err().map(|error| format!("{error:#}"));
    let file = args.file.display().to_string();
    match format {
        Format::Text if problem.is_none() => output::result(&file)?,
        Format::Text => {}
        Format::Json => {
            output::json(&json!({"file": file, "verified": problem.is_none(), "problem": problem}))?;
        }
    }
    match problem {
        None => Ok(Outcome::Done),
        Some(problem) => {
            output::note(&format!("`{file}` is not verified: {problem}"));
            Ok(Outcome::Findings)
        }
    }
}
