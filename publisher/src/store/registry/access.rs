//! How to reach a registry: what a caller decides before anything is sent.

use std::path::PathBuf;

use crate::credentials::Credentials;
use crate::reference::RegistryRef;

/// Where the credentials for a registry come from.
#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    /// The files and helpers of docker and podman.
    Files,
    /// This user name, and the password from standard input when the registry is opened.
    Stdin {
        /// User name.
        username: String,
    },
}

/// How to reach a registry.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Speak http, not https.
    pub(crate) plain_http: bool,
    /// Accept any certificate.
    pub(crate) insecure: bool,
    /// Authorities to trust too, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// How often to try again.
    pub(crate) retries: u32,
    /// Where the credentials come from.
    pub(crate) credentials: CredentialSource,
    /// Called with the reason before each further try.
    pub(crate) on_retry: fn(&str),
}

impl Access {
    /// Whether to use http for this registry: when `plain_http` is set, and by default for a registry on this machine
    /// unless `insecure` or `ca_file` is set.
    pub(crate) fn is_plain_http(&self, registry: &RegistryRef) -> bool {
        self.plain_http || (registry.is_loopback() && !self.insecure && self.ca_file.is_none())
    }

    /// Reads the credentials for a registry.
    ///
    /// # Errors
    /// When they cannot be read, or nothing comes on standard input.
    pub(super) fn credentials(&self, registry: &RegistryRef) -> anyhow::Result<Credentials> {
        match &self.credentials {
            CredentialSource::Stdin { username } => Credentials::from_stdin(username),
            CredentialSource::Files => Credentials::from_files(&registry.authority, &registry.repository),
        }
    }
}
