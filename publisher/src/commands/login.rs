//! `faultline login`: checks credentials at a registry and stores them where docker stores its own.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::json;

use crate::commands::options::{self, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::credentials::Credentials;
use crate::credentials::docker_config::{CredentialFile, Kept};
use crate::store::registry::access::{Access, CredentialSource};
use crate::store::registry::http::Http;
use crate::terminal::output::{self, Format};
use crate::terminal::prompt;

/// The end of the help.
pub(crate) const HELP: &str = "\
Asks for what is not given, if there is a terminal. The registry must accept the credentials before they are kept: \
with the credential helper that docker's config.json names, or in that file. docker, podman, skopeo, oras and crane \
find them there too.

Examples:
  faultline login ghcr.io
  printenv TOKEN | faultline login ghcr.io --username acme --password-stdin
  printenv TOKEN | faultline login acme.example.com --identity-token-stdin
  faultline login registry.example.com:5000 --ca-file ca.pem";

/// `faultline login`
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Host, and port where it has one.
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: String,
    /// User name.
    #[arg(long, short)]
    pub(crate) username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    /// Read an identity token from standard input, as `docker login` to some registries keeps one, and no password.
    #[arg(long, conflicts_with_all = ["username", "password_stdin"])]
    pub(crate) identity_token_stdin: bool,
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
    /// Keep them in this config.json, or the one in this directory, instead of docker's.
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) registry_config: Option<PathBuf>,
}

/// Tries the credentials at the registry and stores them if it accepts them.
///
/// # Errors
/// When the registry rejects the credentials, or they cannot be stored.
pub(crate) async fn run(args: Login, format: Format) -> anyhow::Result<Outcome> {
    let registry = options::registry(&args.registry)?;
    let credentials = match &args.username {
        None if args.identity_token_stdin => Credentials::identity_token_from_stdin()?,
        Some(username) if args.password_stdin => Credentials::from_stdin(username)?,
        username => ask(&registry.authority, username.as_deref())?,
    };
    // Read first, so that no password is sent if the file cannot be used.
    let file = CredentialFile::read(args.registry_config.as_deref())?;
    let access = Access {
        plain_http: args.plain_http,
        insecure: args.insecure,
        ca_file: args.ca_file,
        cert_file: args.cert_file,
        key_file: args.key_file,
        on_exchange: output::on_exchange(),
        retries: 1,
        credentials: CredentialSource::Files(None),
        on_retry: output::note,
    };
    let http = Http::new(registry.clone(), credentials.clone(), &access)?;
    let asked = http.probe_auth().await?;
    let kept = file.store(&registry.authority, &credentials)?;
    report(&registry.authority, &credentials, asked, &kept, format)
}

/// Says what was kept, and where.
fn report(
    authority: &str,
    credentials: &Credentials,
    asked: bool,
    kept: &Kept,
    format: Format,
) -> anyhow::Result<Outcome> {
    let (who, secret, username) = match credentials {
        Credentials::Basic { username, .. } => (format!(" as `{username}`"), "password", Some(username)),
        _ => (String::new(), "identity token", None),
    };
    let place = match kept {
        Kept::Helper(helper) => helper.clone(),
        Kept::File(path) => path.display().to_string(),
    };
    if format == Format::Json {
        output::json(&json!({"registry": authority, "username": username, "verified": asked, "kept": place}))?;
    }
    if !asked {
        output::note(&format!("`{authority}` asks nobody for a password: whether this {secret} is right is not known"));
    }
    output::note(&match kept {
        Kept::Helper(helper) => format!("logged in to `{authority}`{who}; the {secret} is with {helper}"),
        Kept::File(path) => format!(
            "logged in to `{authority}`{who}; the {secret} is in `{}`, not encrypted: docker's credsStore names a \
                safer place",
            path.display()
        ),
    });
    Ok(Outcome::Done)
}

/// Asks at the terminal for what was not given.
fn ask(authority: &str, username: Option<&str>) -> anyhow::Result<Credentials> {
    if !std::io::stdin().is_terminal() {
        return Err(WrongUsage(anyhow!("there is no terminal to ask at; give --username and --password-stdin")).into());
    }
    let username = match username {
        Some(username) => username.to_owned(),
        None => {
            eprint!("user name for {authority}: ");
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
