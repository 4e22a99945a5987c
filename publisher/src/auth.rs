//! Where the credentials for a registry come from: the command line's `--username` with `--password-stdin`, else the files and
//! helpers of docker and podman, else none.
//!
//! A password is never printed, and never taken from the command line, where every user of the machine could read it.

use std::fmt;
use std::io::Read;

use anyhow::{Context, bail};
use docker_credential::{CredentialRetrievalError as Retrieval, DockerCredential};
use oci_distribution::secrets::RegistryAuth;

/// What to present to a registry, and where it was found.
#[derive(Clone)]
pub enum Credentials {
    /// Nothing was found.
    Anonymous,
    /// A user name and a password.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: String,
        /// Where they were found, for messages.
        origin: &'static str,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, origin, .. } => write!(f, "Basic({username}, from {origin})"),
        }
    }
}

impl Credentials {
    /// In the client library's own type.
    pub fn for_client(&self) -> RegistryAuth {
        match self {
            Self::Anonymous => RegistryAuth::Anonymous,
            Self::Basic { username, password, .. } => RegistryAuth::Basic(username.clone(), password.clone()),
        }
    }

    /// With this user name, and the password on standard input; line ends after it do not belong to it.
    ///
    /// # Errors
    /// When nothing comes on standard input.
    pub fn from_stdin(username: &str) -> anyhow::Result<Self> {
        let mut password = String::new();
        std::io::stdin().read_to_string(&mut password).context("cannot read the password from standard input")?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            bail!("no password came on standard input; pipe it in, such as `printenv TOKEN | faultline …`");
        }
        Ok(Self::Basic { username: username.to_owned(), password, origin: "--username and --password-stdin" })
    }

    /// From the files and helpers of docker, then of podman.
    ///
    /// # Errors
    /// When there is an entry for this registry that cannot be used. That there is none is no error.
    pub fn from_files(host: &str) -> anyhow::Result<Self> {
        // Docker Hub's key in these files is older than its host name.
        let key = if matches!(host, "docker.io" | "index.docker.io") { "https://index.docker.io/v1/" } else { host };
        for (origin, found) in [
            ("docker's configuration", docker_credential::get_credential(key)),
            ("podman's auth.json", docker_credential::get_podman_credential(key)),
        ] {
            match found {
                Ok(DockerCredential::UsernamePassword(username, password)) => {
                    return Ok(Self::Basic { username, password, origin });
                }
                Ok(DockerCredential::IdentityToken(_)) => bail!(
                    "{origin} has an identity token for `{host}`, which cannot be used here; give --username and \
                     --password-stdin with an access token instead"
                ),
                Err(error) if is_absent(&error) => {}
                Err(Retrieval::HelperFailure { helper, .. }) => bail!(
                    "the credential helper `docker-credential-{helper}` failed for `{host}`; run it to see why, or give \
                     --username and --password-stdin"
                ),
                Err(error) => bail!(
                    "{origin} has an entry for `{host}` that cannot be used ({error}); log in again, or give --username and \
                     --password-stdin"
                ),
            }
        }
        Ok(Self::Anonymous)
    }
}

/// Whether a lookup merely found nothing. Helpers report that as a failure, in these words.
fn is_absent(error: &Retrieval) -> bool {
    match error {
        Retrieval::NoCredentialConfigured | Retrieval::ConfigNotFound | Retrieval::ConfigReadError => true,
        Retrieval::HelperFailure { stdout, stderr, .. } => {
            stdout.contains("credentials not found") || stderr.contains("credentials not found")
        }
        _ => false,
    }
}
