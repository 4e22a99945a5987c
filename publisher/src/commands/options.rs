//! What several commands take: REFs, `KEY=VALUE`, and the flags that say how to reach a registry.
//!
//! REFs stay strings for the command line's parser and are read here, so that a malformed one is reported in the words of
//! [`crate::reference`], and never with a password that was written into it.

use std::path::PathBuf;

use clap::Args;

use crate::reference::{Reference, RegistryRef};

/// A value on the command line that cannot be right, whatever is in files and registries.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WrongUsage(pub anyhow::Error);

/// Reads a REF.
///
/// # Errors
/// When it is malformed.
pub fn reference(text: &str) -> Result<Reference, WrongUsage> {
    text.parse::<Reference>().map_err(|error| WrongUsage(error.into()))
}

/// How to reach a registry.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct Transport {
    /// Speak http, not https. The default for localhost, unless --ca-file or --insecure is given.
    #[arg(long, conflicts_with_all = ["ca_file", "insecure"])]
    pub plain_http: bool,
    /// Accept any certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Trust these authorities too, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// User name; the default is what docker or podman have for the registry.
    #[arg(long, requires = "password_stdin")]
    pub username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// How often to try again when the registry is busy or the connection breaks.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub retries: u32,
}

impl Transport {
    /// Whether to speak http to this registry.
    pub fn is_plain_http(&self, reference: &RegistryRef) -> bool {
        self.plain_http || (reference.is_loopback() && !self.insecure && self.ca_file.is_none())
    }
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// When it is something else.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
