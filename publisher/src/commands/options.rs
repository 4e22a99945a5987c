//! Options that several commands share: REFs, `KEY=VALUE`, and the flags for reaching a registry.
//!
//! For clap, REFs are plain strings. They are parsed here, so that a malformed one is reported with the messages of
//! [`crate::reference`], and never with a password that was written into it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;

use crate::content::Content;
use crate::from_mesh::{MeshRules, Witness};
use crate::reference::{Reference, RegistryRef};
use crate::store::registry::access::{Access, CredentialSource};
use crate::terminal::output;
use mesh::lookup::Client;

/// A value on the command line that is invalid, whatever files and registries contain.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct WrongUsage(pub(crate) anyhow::Error);

/// Parses a REF, and says how a short one was read.
///
/// # Errors
/// When it is malformed.
pub(crate) fn reference(text: &str) -> Result<Reference, WrongUsage> {
    let reference = text.parse::<Reference>().map_err(|error| WrongUsage(error.into()))?;
    if reference.completes(text) {
        output::note(&format!("note: `{text}` is read as `{reference}`"));
    }
    Ok(reference)
}

/// Parses a REF that something is written to, or whose tag is needed for another reason.
///
/// # Errors
/// When it is malformed, or has no tag.
pub(crate) fn tagged_reference(text: &str) -> Result<Reference, WrongUsage> {
    let reference = reference(text)?;
    if reference.tag().is_none() {
        return Err(WrongUsage(anyhow!("reference `{text}`: the tag is missing; add one, such as :1.0")));
    }
    Ok(reference)
}

/// Parses REGISTRY: the authority of a reference, host and port.
///
/// # Errors
/// For anything else.
pub(crate) fn registry(text: &str) -> Result<RegistryRef, WrongUsage> {
    match format!("{text}/any:any").parse() {
        Ok(Reference::Registry(reference)) if reference.authority == text => {
            Ok(RegistryRef { repository: String::new(), ..reference })
        }
        _ => Err(WrongUsage(anyhow!("`{text}` is not a registry; write its host, such as ghcr.io or localhost:5000"))),
    }
}

/// How to reach a registry.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Transport {
    /// Speak http, not https. The default for localhost, unless --ca-file or --insecure is given.
    #[arg(long, conflicts_with_all = ["ca_file", "insecure"])]
    pub(crate) plain_http: bool,
    /// Accept any certificate.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Trust these authorities too, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Show this certificate to the registry, PEM.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// The private key of --cert-file, PEM.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// Take credentials from this config.json of docker's, or the one in this directory, and from nowhere else.
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) registry_config: Option<PathBuf>,
    /// User name; the default is what docker or podman have for the registry.
    #[arg(long, requires = "password_stdin")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    /// How often to try again when the registry is busy or the connection breaks.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub(crate) retries: u32,
}

impl Transport {
    /// The same options in the form that the registry library takes.
    pub(crate) fn access(&self) -> Access {
        Access {
            plain_http: self.plain_http,
            insecure: self.insecure,
            ca_file: self.ca_file.clone(),
            retries: self.retries,
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            on_exchange: output::on_exchange(),
            credentials: source_of(self.username.as_deref(), self.registry_config.as_deref()),
            on_retry: output::note,
        }
    }
}

/// Where the credentials come from: with a user name from standard input, else from files.
pub(crate) fn source_of(username: Option<&str>, registry_config: Option<&Path>) -> CredentialSource {
    match username {
        Some(username) => CredentialSource::Stdin { username: username.to_owned() },
        None => CredentialSource::Files(registry_config.map(Path::to_owned)),
    }
}

/// Where the rules are.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration from the mesh's own rules")]
pub(crate) struct Rules {
    /// Take the thresholds from these DestinationRules, ServiceEntries and MeshConfig, YAML or JSON as kubectl prints
    /// them; can be given more than once. Needed only where Envoy cannot be asked: the witness reads them from Envoy.
    #[arg(long = "from", short = 'f', value_name = "FILE|DIR|-")]
    pub(crate) from: Vec<PathBuf>,
    /// Leave the witness off, so that ejections are inferred and Envoy is not asked. The thresholds must then be
    /// given, with --from or --config.
    #[arg(long)]
    pub(crate) no_witness: bool,
    /// The domain of the cluster's services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
}

impl Rules {
    /// The same options in the form that [`crate::from_mesh`] takes, for these proxies; `of_plugin`: those
    /// that a plugin in this namespace is in.
    pub(crate) fn of_mesh<'a>(&'a self, client: Client<'a>, of_plugin: bool) -> MeshRules<'a> {
        let witness = if self.no_witness { Witness::Off } else { Witness::Asked };
        MeshRules { files: &self.from, witness, cluster_domain: &self.cluster_domain, client, of_plugin }
    }
}

/// Standard input, whole.
///
/// # Errors
/// When the password is to come from there too, or it cannot be read.
pub(crate) fn stdin(password_is_there: bool) -> anyhow::Result<Content> {
    if password_is_there {
        let why = anyhow!("standard input can hold the file or the password, not both: log in with `faultline login`");
        return Err(WrongUsage(why).into());
    }
    Content::of_reader(std::io::stdin().lock()).context("cannot read standard input")
}

/// Parses `KEY=VALUE`.
///
/// # Errors
/// For anything else.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
