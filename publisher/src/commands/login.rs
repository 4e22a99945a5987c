//! `faultline login` and `logout`: credentials for a registry, tried before they are kept, where docker keeps its own.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::json;

use crate::auth::Credentials;
use crate::commands::options::{Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::credential_file::{CredentialFile, Kept};
use crate::reference::{Reference, RegistryRef};
use crate::registry::http::Http;
use crate::terminal::output::{self, Format};
use crate::terminal::prompt;

/// The end of the help of `login`.
pub const LOGIN: &str = "\
Asks for what is not given, if there is a terminal. The registry must accept the credentials before they are kept: with the \
credential helper that docker's config.json names, or in that file. docker, podman, skopeo, oras and crane find them there too.

Examples:
  faultline login ghcr.io
  printenv TOKEN | faultline login ghcr.io --username acme --password-stdin
  faultline login registry.example.com:5000 --ca-file ca.pem";

/// The end of the help of `logout`.
pub const LOGOUT: &str = "Example:\n  faultline logout ghcr.io";

/// `faultline login`
#[derive(Debug, Args)]
pub struct Login {
    /// Host, and port where it has one.
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
    /// User name.
    #[arg(long, short)]
    pub username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// Speak http, not https. The default for localhost, unless --ca-file or --insecure is given.
    #[arg(long, conflicts_with_all = ["ca_file", "insecure"])]
    pub plain_http: bool,
    /// Accept any certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Trust these authorities too, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// `faultline logout`
#[derive(Debug, Args)]
pub struct Logout {
    /// Host, and port where it has one.
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
}

/// Runs `login`.
///
/// # Errors
/// When the registry does not accept the credentials, or they cannot be kept.
pub async fn login(args: Login, format: Format) -> anyhow::Result<Outcome> {
    let registry = host(&args.registry)?;
    let credentials = match &args.username {
        Some(username) if args.password_stdin => Credentials::from_stdin(username)?,
        username => ask(&registry.host, username.as_deref())?,
    };
    let Credentials::Basic { username, password, .. } = &credentials else { bail!("there are no credentials to keep") };
    // Read first, so that one that cannot be used is known before a password goes out.
    let file = CredentialFile::read()?;
    let transport = Transport {
        plain_http: args.plain_http,
        insecure: args.insecure,
        ca_file: args.ca_file,
        username: None,
        password_stdin: false,
        retries: 1,
    };
    let http = Http::new(registry.clone(), credentials.clone(), &transport)?;
    let asked = http.knock().await?;
    let kept = file.store(&registry.host, username, password)?;
    let place = match &kept {
        Kept::Helper(helper) => helper.clone(),
        Kept::File(path) => path.display().to_string(),
    };
    if format == Format::Json {
        output::json(&json!({"registry": registry.host, "username": username, "verified": asked, "kept": place}))?;
    }
    if !asked {
        output::note(&format!(
            "`{}` asks nobody for a password: whether this one is right is not known",
            registry.host
        ));
    }
    output::note(&match kept {
        Kept::Helper(helper) => {
            format!("logged in to `{}` as `{username}`; the password is with {helper}", registry.host)
        }
        Kept::File(path) => format!(
            "logged in to `{}` as `{username}`; the password is in `{}`, not encrypted: docker's credsStore names a safer place",
            registry.host,
            path.display()
        ),
    });
    Ok(Outcome::Done)
}

/// Runs `logout`.
///
/// # Errors
/// When the credentials cannot be taken away.
pub fn logout(args: &Logout, format: Format) -> anyhow::Result<Outcome> {
    let registry = host(&args.registry)?;
    let removed = CredentialFile::read()?.erase(&registry.host)?;
    if format == Format::Json {
        output::json(&json!({"registry": registry.host, "removed": removed}))?;
    }
    output::note(&if removed {
        format!("logged out of `{}`", registry.host)
    } else {
        format!("there were no credentials for `{}`", registry.host)
    });
    // Another tool's are that tool's to remove.
    if let Ok(Credentials::Basic { origin, .. } | Credentials::IdentityToken { origin, .. }) =
        Credentials::from_files(&registry.host, "")
    {
        output::note(&format!("{origin} still has credentials for it"));
    }
    Ok(Outcome::Done)
}

/// Reads REGISTRY: the host of a reference.
fn host(text: &str) -> Result<RegistryRef, WrongUsage> {
    match format!("{text}/any:any").parse() {
        Ok(Reference::Registry(reference)) if !text.contains(['/', '@']) => {
            Ok(RegistryRef { repository: String::new(), ..reference })
        }
        _ => Err(WrongUsage(anyhow!("`{text}` is not a registry; write its host, such as ghcr.io or localhost:5000"))),
    }
}

/// Asks at the terminal for what was not given.
fn ask(host: &str, username: Option<&str>) -> anyhow::Result<Credentials> {
    if !std::io::stdin().is_terminal() {
        return Err(WrongUsage(anyhow!("there is no terminal to ask at; give --username and --password-stdin")).into());
    }
    let username = match username {
        Some(username) => username.to_owned(),
        None => {
            eprint!("user name for {host}: ");
            std::io::stderr().flush()?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("cannot read the user name")?;
            line.trim().to_owned()
        }
    };
    let password = prompt::password(format!("password of {username}: "))?;
    if username.is_empty() || password.is_empty() {
        bail!("neither the user name nor the password may be empty");
    }
    Ok(Credentials::Basic { username, password, origin: "the terminal" })
}
