//! Finds the credentials for a registry: from `--username` with `--password-stdin`, otherwise in the files and helpers
//! of docker and podman. If there are none, access is anonymous.
//!
//! A password is never printed, and never taken from the command line, where every user of the machine could read it.

pub(crate) mod docker_config;

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError as Retrieval, DockerCredential};
use serde_json::Value;

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

    /// Looks in the files and helpers of docker, then of podman, whose entries may cover a part of a registry.
    ///
    /// # Errors
    /// When the entry for this registry cannot be used. Having no entry is not an error.
    pub(crate) fn from_files(authority: &str, repository: &str) -> anyhow::Result<Self> {
        let origin = "docker's configuration";
        if let Some(found) = usable(authority, origin, docker_credential::get_credential(key(authority)))? {
            return Ok(found);
        }
        let found =
            podman_entries().map_or(Err(Retrieval::ConfigNotFound), |entries| nearest(entries, authority, repository));
        Ok(usable(authority, "podman's auth.json", found)?.unwrap_or(Self::Anonymous))
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

/// The key of a registry in docker's files. Docker Hub's predates its authority name.
pub(crate) fn key(authority: &str) -> &str {
    if matches!(authority, "docker.io" | "index.docker.io") { "https://index.docker.io/v1/" } else { authority }
}

/// Podman's file: the one that `REGISTRY_AUTH_FILE` names, else the session's, else the user's.
fn podman_entries() -> Option<Value> {
    let under = |variable: &str, path: &str| std::env::var_os(variable).map(|dir| PathBuf::from(dir).join(path));
    let files = match std::env::var_os("REGISTRY_AUTH_FILE") {
        Some(file) => vec![Some(PathBuf::from(file))],
        None => vec![
            under("XDG_RUNTIME_DIR", "containers/auth.json"),
            under("XDG_CONFIG_HOME", "containers/auth.json"),
            under("HOME", ".config/containers/auth.json"),
        ],
    };
    files.into_iter().flatten().find_map(|file| serde_json::from_slice(&std::fs::read(file).ok()?).ok())
}

/// The entry for the longest prefix of `authority/team/repo` that has one. The library would use an entry for any part
/// of an authority for any other part, so it is given only the matching ones.
fn nearest(mut entries: Value, authority: &str, repository: &str) -> Result<DockerCredential, Retrieval> {
    let full = format!("{authority}/{repository}");
    let names = std::iter::successors(Some(full.as_str()), |name| name.rsplit_once('/').map(|(shorter, _)| shorter));
    let names: Vec<&str> = names.take_while(|name| name.len() >= authority.len()).collect();
    let mut asked = authority;
    if let Some(auths) = entries.get_mut("auths").and_then(Value::as_object_mut) {
        let part_of_host = format!("{authority}/");
        auths.retain(|key, _| !key.starts_with(&part_of_host) || names.contains(&key.as_str()));
        asked = names.into_iter().find(|name| auths.contains_key(*name)).unwrap_or(key(authority));
    }
    docker_credential::get_credential_from_reader(entries.to_string().as_bytes(), asked)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_for_the_longest_part_of_the_name_is_taken_and_never_one_for_another_part() {
        let auth = |user: &str| serde_json::json!({"auth": STANDARD.encode(format!("{user}:x"))});
        let entries = serde_json::json!({"auths": {
            "quay.io": auth("host"), "quay.io/team": auth("team"),
            "quay.io/team/other": auth("other"), "ghcr.io/a": auth("a"),
        }});
        let user = |authority: &str, repository: &str| match nearest(entries.clone(), authority, repository) {
            Ok(DockerCredential::UsernamePassword(user, _)) => user,
            other => format!("{other:?}"),
        };
        assert_eq!(user("quay.io", "team/faultline"), "team");
        assert_eq!(user("quay.io", "team/other"), "other");
        assert_eq!(user("quay.io", "teams/faultline"), "host");
        assert_eq!(user("ghcr.io", "b/faultline"), "Err(NoCredentialConfigured)");
    }
}
