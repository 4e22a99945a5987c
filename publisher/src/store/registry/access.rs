//! Options for reaching a registry, which the caller chooses before anything is sent.

use std::path::PathBuf;

use crate::credentials::Credentials;
use crate::reference::RegistryRef;

/// The source of a registry's credentials.
#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    /// The files and helpers of docker and podman, or only this configuration of docker's (a file or its directory).
    Files(Option<PathBuf>),
    /// This user name, with the password read from standard input when the registry is opened.
    Stdin {
        /// User name.
        username: String,
    },
}

/// Options for reaching a registry.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Speak http, not https.
    pub(crate) plain_http: bool,
    /// Accept any certificate.
    pub(crate) insecure: bool,
    /// PEM file with additional certificate authorities to trust.
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with the certificate to show to the registry.
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub(crate) key_file: Option<PathBuf>,
    /// Called with a line for each request and each answer, without secrets.
    pub(crate) on_exchange: Option<fn(&str)>,
    /// How many times a request is retried.
    pub(crate) retries: u32,
    /// The source of the credentials.
    pub(crate) credentials: CredentialSource,
    /// Called with the reason before each retry.
    pub(crate) on_retry: fn(&str),
}

impl Access {
    /// Whether to use http for this registry: if `plain_http` is set, and by default for a registry on this machine
    /// unless `insecure` or `ca_file` is set.
    pub(crate) fn is_plain_http(&self, registry: &RegistryRef) -> bool {
        self.plain_http || (registry.is_loopback() && !self.insecure && self.ca_file.is_none())
    }

    /// Reads the credentials for a registry.
    ///
    /// # Errors
    /// When they cannot be read, or standard input is empty.
    pub(super) fn credentials(&self, registry: &RegistryRef) -> anyhow::Result<Credentials> {
        match &self.credentials {
            CredentialSource::Stdin { username } => Credentials::from_stdin(username),
            CredentialSource::Files(named) => {
                Credentials::from_files(&registry.authority, &registry.repository, named.as_deref())
            }
        }
    }
}
