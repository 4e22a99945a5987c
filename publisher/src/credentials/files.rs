//! Where docker, podman and skopeo keep credentials, and which entry of a file is for a registry.
//!
//! The places are those of docker and of containers-auth.json(5). An environment variable that is set and empty counts
//! as unset, as it does for these tools.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use docker_credential::{CredentialRetrievalError as Retrieval, DockerCredential};
use serde_json::{Map, Value, json};

/// A file that may hold credentials, and its name in messages.
pub(crate) struct File {
    path: PathBuf,
    /// Whose file it is.
    pub(crate) origin: &'static str,
}

/// Where docker's `config.json` is: at `named`, which may be its directory; else in `DOCKER_CONFIG`; else in `.docker`
/// in the home directory. `None` if there is no home directory.
pub(crate) fn docker(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) if path.extension().is_some_and(|extension| extension == "json") && !path.is_dir() => {
            Some(path.to_owned())
        }
        Some(path) => Some(path.join("config.json")),
        None => variable("DOCKER_CONFIG")
            .or_else(|| variable("HOME").map(|home| home.join(".docker")))
            .map(|dir| dir.join("config.json")),
    }
}

/// The files to look in, in order. A file without an entry for the registry does not end the search.
pub(crate) fn all(named: Option<&Path>) -> Vec<File> {
    let docker = docker(named).map(|path| File { path, origin: "docker's configuration" });
    let podman = if named.is_some() { Vec::new() } else { podman() };
    let podman = podman.into_iter().map(|path| File { path, origin: "podman's auth.json" });
    docker.into_iter().chain(podman).collect()
}

/// Podman's files: the one that `REGISTRY_AUTH_FILE` names; else the session's, then the user's.
fn podman() -> Vec<PathBuf> {
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let session = variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers")).or_else(session_without_variable);
    let user = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    session.into_iter().chain(user.map(|dir| dir.join("containers"))).map(|dir| dir.join("auth.json")).collect()
}

/// Where the session's file is if `XDG_RUNTIME_DIR` is not set.
#[cfg(target_os = "linux")]
fn session_without_variable() -> Option<PathBuf> {
    Some(PathBuf::from(format!("/run/containers/{}", rustix::process::getuid().as_raw())))
}

#[cfg(not(target_os = "linux"))]
fn session_without_variable() -> Option<PathBuf> {
    None
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

impl File {
    /// What the file has for a repository; `None` if it has nothing or is not there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn find(
        &self,
        authority: &str,
        repository: &str,
    ) -> anyhow::Result<Option<Result<DockerCredential, Retrieval>>> {
        let path = self.path.display();
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => return Ok(None),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => bail!("cannot read the credentials in `{path}`: {error}"),
        };
        let content: Value = serde_json::from_slice(&bytes)
            .ok()
            .filter(Value::is_object)
            .with_context(|| format!("`{path}` is malformed; correct or remove it"))?;
        Ok(lookup(&content, authority, repository))
    }
}

/// The key of a registry in docker's files. Docker Hub's predates its authority name.
pub(crate) fn key(authority: &str) -> &str {
    if is_docker_hub(authority) { "https://index.docker.io/v1/" } else { authority }
}

fn is_docker_hub(authority: &str) -> bool {
    matches!(authority, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The credentials for the longest part of `authority/team/repo` that has an entry.
///
/// The library decodes the entry or calls the helper, but it would use an entry for any part of a registry for any
/// other part; so it is given only the matching one.
fn lookup(content: &Value, authority: &str, repository: &str) -> Option<Result<DockerCredential, Retrieval>> {
    let full = if repository.is_empty() { authority.to_owned() } else { format!("{authority}/{repository}") };
    let names = std::iter::successors(Some(full.as_str()), |name| name.rsplit_once('/').map(|(shorter, _)| shorter));
    let none = Map::new();
    let auths = content["auths"].as_object().unwrap_or(&none);
    let matching = |name: &str| {
        let exact = auths.get(name).filter(|entry| says_something(entry));
        exact.or_else(|| {
            auths.iter().find(|(key, entry)| covers(key, name) && says_something(entry)).map(|(_, entry)| entry)
        })
    };
    let server = key(authority);
    let mut asked = json!({"auths": {}});
    if let Some(entry) = names.take_while(|name| name.len() >= authority.len()).find_map(matching) {
        let mut entry = entry.clone();
        if let Some(entry) = entry.as_object_mut() {
            entry.retain(|_, value| *value != "");
        }
        asked["auths"][server] = entry;
    }
    let helper = content["credHelpers"].get(server).or_else(|| content["credHelpers"].get(authority));
    if let Some(helper) = helper {
        asked["credHelpers"] = json!({server: helper});
    }
    // A file of podman has helpers of its own; only docker's has a store for all registries.
    if let Some(store) = content["credsStore"].as_str().filter(|store| !store.is_empty()) {
        asked["credsStore"] = store.into();
    }
    match docker_credential::get_credential_from_reader(asked.to_string().as_bytes(), server) {
        Err(Retrieval::NoCredentialConfigured) => None,
        found => Some(found),
    }
}

/// Whether a key of `auths` is for this registry or part of one: by the same name, or in docker's older forms
/// `https://HOST`, `https://HOST/v1/` and `HOST/v2/`.
fn covers(key: &str, name: &str) -> bool {
    let (bare, had_scheme) = match key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
        Some(bare) => (bare, true),
        None => (key, false),
    };
    let bare = bare.trim_end_matches('/');
    let host = match bare.rsplit_once('/') {
        Some((host, "v1" | "v2")) if !host.contains('/') => host,
        // With a scheme, docker looks at the host only.
        Some(_) if had_scheme => bare.split('/').next().unwrap_or(bare),
        _ => bare,
    };
    host == name || (is_docker_hub(host) && is_docker_hub(name))
}

/// Whether an entry holds credentials. Docker writes empty ones for registries whose credentials a helper keeps.
fn says_something(entry: &Value) -> bool {
    let has = |name: &str| entry[name].as_str().is_some_and(|value| !value.is_empty());
    has("auth") || has("identitytoken") || (has("username") && has("password"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn auth(user: &str) -> Value {
        json!({"auth": STANDARD.encode(format!("{user}:x"))})
    }

    fn user(content: &Value, authority: &str, repository: &str) -> String {
        match lookup(content, authority, repository) {
            Some(Ok(DockerCredential::UsernamePassword(user, _))) => user,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_entry_for_the_longest_part_of_the_name_is_taken_and_never_one_for_another_part() {
        let content = json!({"auths": {
            "quay.io": auth("host"), "quay.io/team": auth("team"),
            "quay.io/team/other": auth("other"), "ghcr.io/a": auth("a"),
        }});
        assert_eq!(user(&content, "quay.io", "team/faultline"), "team");
        assert_eq!(user(&content, "quay.io", "team/other"), "other");
        assert_eq!(user(&content, "quay.io", "teams/faultline"), "host");
        assert_eq!(user(&content, "ghcr.io", "b/faultline"), "None");
        assert_eq!(user(&content, "ghcr.io", ""), "None");
    }

    #[test]
    fn a_registry_is_found_under_each_form_of_its_name() {
        for key in ["r.io:5000", "https://r.io:5000", "http://r.io:5000/", "https://r.io:5000/v1/", "r.io:5000/v2"] {
            let content = json!({"auths": {key: auth("u"), "https://r.io": auth("other")}});
            assert_eq!(user(&content, "r.io:5000", "a/b"), "u", "{key}");
        }
        for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://registry-1.docker.io"] {
            let content = json!({"auths": {key: auth("hub")}});
            assert_eq!(user(&content, "docker.io", "a/b"), "hub", "{key}");
        }
        let content =
            json!({"auths": {"https://r.io.evil.example": auth("u"), "xr.io": auth("u"), "r.io:1": auth("u")}});
        assert_eq!(user(&content, "r.io", "a"), "None");
    }

    #[test]
    fn an_empty_entry_is_none() {
        for empty in [json!({"auth": ""}), json!({}), json!({"auth": "", "username": "", "password": ""})] {
            let content = json!({"auths": {"r.io/a": empty, "r.io": auth("u")}});
            assert_eq!(user(&content, "r.io", "a"), "u");
            assert_eq!(user(&json!({"auths": {"r.io": empty}}), "r.io", "a"), "None");
        }
        let token = json!({"auths": {"r.io": {"auth": "", "identitytoken": "t"}}});
        assert!(
            matches!(lookup(&token, "r.io", "a"), Some(Ok(DockerCredential::IdentityToken(token))) if token == "t")
        );
        for odd in [json!({}), json!({"auths": null}), json!({"auths": []}), json!({"credsStore": ""})] {
            assert!(lookup(&odd, "r.io", "a").is_none(), "{odd}");
        }
    }
}
