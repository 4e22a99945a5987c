//! `faultline sign-blob`: signs a file, such as the checksums of a release.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::commands::generate_key_pair::password;
use crate::commands::outcome::Outcome;
use crate::files;
use crate::signature::{blob, key};
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
The signature is cosign's: base64 of ECDSA over the file's SHA-256. Without transparency log:
  cosign verify-blob --key cosign.pub --signature FILE.sig --insecure-ignore-tlog FILE
  openssl dgst -sha256 -verify cosign.pub -signature <(base64 -d FILE.sig) FILE

Examples:
  faultline sign-blob SHA256SUMS --key cosign.key
  faultline verify-blob SHA256SUMS --key cosign.pub";

/// `faultline sign-blob`
#[derive(Debug, Args)]
pub(crate) struct SignBlob {
    /// What to sign; `-` is standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// The private key; env://NAME takes it from an environment variable.
    #[arg(long, value_name = "FILE|env://NAME")]
    pub(crate) key: PathBuf,
    /// Where to write the signature; FILE with .sig at its end if not given, and standard output for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) output_signature: Option<PathBuf>,
}

/// The file of a signature where none is named.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// Whether a file's name stands for standard input.
pub(super) fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// What is in a file; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub(super) fn content(file: &Path) -> anyhow::Result<Vec<u8>> {
    if !is_stdin(file) {
        return std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()));
    }
    let mut content = Vec::new();
    std::io::stdin().lock().read_to_end(&mut content).context("cannot read standard input")?;
    Ok(content)
}

/// Signs a file, and prints where the signature is.
///
/// # Errors
/// When the key or the file cannot be read, or the signature cannot be written.
pub(crate) fn run(args: &SignBlob, format: Format) -> anyhow::Result<Outcome> {
    let content = content(&args.file)?;
    let key = key::private(&args.key, || password(is_stdin(&args.file)))?;
    let signature = blob::sign(&content, &key);
    if is_stdin(&args.file) && args.output_signature.is_none() {
        match format {
            Format::Text => output::result(&signature)?,
            Format::Json => output::json(&json!({"file": "-", "signature": signature}))?,
        }
        return Ok(Outcome::Done);
    }
    let to = args.output_signature.clone().unwrap_or_else(|| beside(&args.file));
    files::write(&to, format!("{signature}\n").as_bytes())?;
    match format {
        Format::Text => output::result(&to.display().to_string())?,
        Format::Json => output::json(&json!({
            "file": args.file.display().to_string(),
            "signature": signature,
            "signatureFile": to.display().to_string(),
        }))?,
    }
    Ok(Outcome::Done)
}
