//! Finds the credentials for a registry: from `--username` with `--password-stdin`, otherwise in the files and helpers
//! of docker and podman. If there are none, access is anonymous.
//!
//! A password is never printed, and never taken from the command line, where every user of the machine could read it.

pub(crate) mod docker_config;
pub(crate) mod files;

use std::fmt;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError as Retrieval, DockerCredential};

/// The credentials for a registry, and where they were found.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// Nothing was found.
    Anonymous,
    /// A user name and a password.
    Basic {
        /// User name.
        username: String,
        /// The password or an access token.
        password: String,
        /// Where they were found, for messages.
        origin: &'static str,
    },
    /// A token that a token service issued at login. It is presented to that service for each access token.
    IdentityToken {
        /// The token.
        token: String,
        /// Where it was found, for messages.
        origin: &'static str,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, origin, .. } => write!(f, "Basic({username}, from {origin})"),
            Self::IdentityToken { origin, .. } => write!(f, "IdentityToken(from {origin})"),
        }
    }
}

impl Credentials {
    /// This user name, with the password from standard input; trailing line ends are removed.
    ///
    /// # Errors
    /// When standard input is empty.
    pub(crate) fn from_stdin(username: &str) -> anyhow::Result<Self> {
        let mut password = String::new();
        std::io::stdin().read_to_string(&mut password).context("cannot read the password from standard input")?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            bail!("no password came on standard input; pipe it in, such as `printenv TOKEN | faultline …`");
        }
        Ok(Self::Basic { username: username.to_owned(), password, origin: "--username and --password-stdin" })
    }

    /// The identity token on standard input, without white space around it.
    ///
    /// # Errors
    /// When standard input is empty.
    pub(crate) fn identity_token_from_stdin() -> anyhow::Result<Self> {
        let mut token = String::new();
        std::io::stdin().read_to_string(&mut token).context("cannot read the identity token from standard input")?;
        let token = token.trim().to_owned();
        if token.is_empty() {
            bail!("no identity token came on standard input; pipe it in, such as `printenv TOKEN | faultline login …`");
        }
        Ok(Self::IdentityToken { token, origin: "--identity-token-stdin" })
    }

    /// Looks in the files and helpers of docker, then of podman, whose entries may cover a part of a registry. With
    /// `named`, looks only in that docker configuration.
    ///
    /// # Errors
    /// When a file, or the entry for this registry, cannot be used, or `named` is not there. Having no entry is not an
    /// error, nor is a directory without the file: a fresh one is how access is made anonymous.
    pub(crate) fn from_files(authority: &str, repository: &str, named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = named.filter(|path| !path.exists()) {
            bail!(
                "--registry-config: there is no `{0}`; correct it, or log in: `faultline login {authority} \
                 --registry-config {0}`",
                path.display()
            );
        }
        for file in files::all(named) {
            if let Some(found) = file.find(authority, repository)?
                && let Some(credentials) = usable(authority, file.origin, found)?
            {
                return Ok(credentials);
            }
        }
        Ok(Self::Anonymous)
    }

    /// Every form in which a secret of these credentials could appear. No output may contain one.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Basic { username, password, .. } => {
                vec![password.clone(), STANDARD.encode(format!("{username}:{password}"))]
            }
            Self::IdentityToken { token, .. } => vec![token.clone()],
        }
    }
}

fn usable(
    authority: &str,
    origin: &'static str,
    found: Result<DockerCredential, Retrieval>,
) -> anyhow::Result<Option<Credentials>> {
    match found {
        Ok(DockerCredential::UsernamePassword(username, password)) => {
            Ok(Some(Credentials::Basic { username, password, origin }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credentials::IdentityToken { token, origin })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(Retrieval::HelperFailure { helper, .. }) => bail!(
            "the credential helper `{helper}` failed for `{authority}`; run it to see why, or give --username and \
                --password-stdin"
        ),
        Err(Retrieval::HelperCommunicationError) => bail!(
            "{origin} names a credential helper for `{authority}` that cannot be run; install it, or give --username \
                and \
             --password-stdin"
        ),
        Err(error) => bail!(
            "{origin} has an entry for `{authority}` that cannot be used ({error}); log in again, or give --username \
                and \
             --password-stdin"
        ),
    }
}

/// Whether a lookup simply found nothing. Helpers report that as a failure with this message.
fn is_absent(error: &Retrieval) -> bool {
    match error {
        Retrieval::NoCredentialConfigured | Retrieval::ConfigNotFound | Retrieval::ConfigReadError => true,
        Retrieval::HelperFailure { stdout, stderr, .. } => {
            stdout.contains("credentials not found") || stderr.contains("credentials not found")
        }
        _ => false,
    }
}
