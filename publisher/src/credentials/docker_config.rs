//! Stores and erases credentials in Docker's `config.json`, for `login` and `logout`.
//!
//! If a credential helper is configured there, it is used as docker uses it. Otherwise the credentials are in the file
//! itself, encoded but not encrypted, readable only by its owner. The rest of the file is preserved.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::credentials::files::{docker, key};
use crate::files;

/// The parsed file.
pub(crate) struct CredentialFile {
    path: PathBuf,
    content: Value,
}

/// Where credentials were stored.
pub(crate) enum Kept {
    /// In this helper program.
    Helper(String),
    /// In this file, unencrypted.
    File(PathBuf),
}

impl CredentialFile {
    /// Reads docker's file, or the one at `named`. It need not exist.
    ///
    /// # Errors
    /// When there is no home directory, or the file is malformed.
    pub(crate) fn read(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = docker(named).context("there is no home directory; set DOCKER_CONFIG")?;
        // If the path is a symlink, its target is replaced, not the link.
        let path = path.canonicalize().unwrap_or(path);
        let content = match std::fs::read(&path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => json!({}),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("`{}` is malformed; correct or remove it", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({}),
            Err(error) => bail!("cannot read `{}`: {error}", path.display()),
        };
        ensure!(content.is_object(), "`{}` is malformed; correct or remove it", path.display());
        Ok(Self { path, content })
    }

    /// Stores the credentials for a registry.
    ///
    /// # Errors
    /// When the helper fails, or the file cannot be written.
    pub(crate) fn store(mut self, authority: &str, credentials: &Credentials) -> anyhow::Result<Kept> {
        let key = key(authority);
        // Docker's form for each: helpers tell a token by this user name.
        let (username, secret, entry) = match credentials {
            Credentials::Anonymous => bail!("there are no credentials to keep"),
            Credentials::Basic { username, password, .. } => {
                (username.as_str(), password, json!({"auth": STANDARD.encode(format!("{username}:{password}"))}))
            }
            Credentials::IdentityToken { token, .. } => ("<token>", token, json!({"auth": "", "identitytoken": token})),
        };
        match self.helper(key) {
            Some(helper) => {
                let message = json!({"ServerURL": key, "Username": username, "Secret": secret}).to_string();
                call(&helper, "store", &message)
                    .with_context(|| format!("cannot keep the credentials for `{authority}`"))?;
                // Docker lists in `auths` the registries that the helper knows.
                self.entries()?.insert(key.to_owned(), json!({}));
                self.write()?;
                Ok(Kept::Helper(helper))
            }
            None => {
                self.entries()?.insert(key.to_owned(), entry);
                self.write()?;
                Ok(Kept::File(self.path))
            }
        }
    }

    /// Erases the credentials for a registry. Returns whether there were any.
    ///
    /// # Errors
    /// When the helper fails, or the file cannot be written.
    pub(crate) fn erase(mut self, authority: &str) -> anyhow::Result<bool> {
        let key = key(authority);
        let listed = self.entries()?.remove(key).is_some();
        if listed {
            self.write()?;
        }
        match self.helper(key) {
            // Helpers report an unknown registry in different ways.
            Some(helper) => match call(&helper, "erase", key) {
                Err(error) if !error.to_string().contains("not found") => Err(error),
                erased => Ok(erased.is_ok()),
            },
            None => Ok(listed),
        }
    }

    fn helper(&self, key: &str) -> Option<String> {
        let configured = self.content["credHelpers"][key].as_str().or(self.content["credsStore"].as_str());
        configured.filter(|helper| !helper.is_empty()).map(|helper| format!("docker-credential-{helper}"))
    }

    fn entries(&mut self) -> anyhow::Result<&mut serde_json::Map<String, Value>> {
        let path = self.path.display().to_string();
        let auths = self.content.as_object_mut().map(|content| content.entry("auths").or_insert_with(|| json!({})));
        auths.and_then(Value::as_object_mut).with_context(|| format!("`{path}` is malformed: `auths` is no object"))
    }

    fn write(&self) -> anyhow::Result<()> {
        let directory = self.path.parent().context("there is no home directory; set DOCKER_CONFIG")?;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).with_context(|| format!("cannot create the directory `{}`", directory.display()))?;
        files::write_private(&self.path, &serde_json::to_vec_pretty(&self.content)?)
    }
}

/// Calls a credential helper. Its output may contain the secret, so none of it is repeated except one known line.
fn call(helper: &str, action: &str, input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(helper)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot run the credential helper `{helper}`; install it, or take it out of docker's config.json")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // If the helper exits without reading, its exit status decides.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    ensure!(!String::from_utf8_lossy(&words).contains("credentials not found"), "`{helper}`: not found");
    bail!("the credential helper `{helper}` failed to {action}; run it to see why")
}
