//! `faultline logout`: erases the credentials for a registry where docker stores its own.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::commands::options;
use crate::commands::outcome::Outcome;
use crate::credentials::Credentials;
use crate::credentials::docker_config::CredentialFile;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "Example:\n  faultline logout ghcr.io";

/// `faultline logout`
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Host, and port where it has one.
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: String,
    /// Forget them in this config.json, or the one in this directory, instead of docker's.
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) registry_config: Option<PathBuf>,
}

/// Erases the credentials for a registry.
///
/// # Errors
/// When the credentials cannot be erased.
pub(crate) fn run(args: &Logout, format: Format) -> anyhow::Result<Outcome> {
    let registry = options::registry(&args.registry)?;
    let removed = CredentialFile::read(args.registry_config.as_deref())?.erase(&registry.authority)?;
    if format == Format::Json {
        output::json(&json!({"registry": registry.authority, "removed": removed}))?;
    }
    output::note(&if removed {
        format!("logged out of `{}`", registry.authority)
    } else {
        format!("there were no credentials for `{}`", registry.authority)
    });
    // Credentials that another tool keeps are for that tool to remove.
    if let Ok(Credentials::Basic { origin, .. } | Credentials::IdentityToken { origin, .. }) =
        Credentials::from_files(&registry.authority, "", args.registry_config.as_deref())
    {
        output::note(&format!("{origin} still has credentials for it"));
    }
    Ok(Outcome::Done)
}
