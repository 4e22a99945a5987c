//! Sets up the HTTP client: time-outs, redirects, certificates, proxies.

use std::time::Duration;

use anyhow::Context;
use reqwest::redirect::Policy;
use reqwest::{Client, Identity, Url};

use super::access::Access;
use super::trust;
use crate::reference::RegistryRef;

/// How long connecting may take, and how long a connection may be idle.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Which redirects are followed.
#[derive(Clone, Copy)]
pub(super) enum Redirects {
    /// All, without credentials at another origin.
    Followed,
    /// Those within the same origin.
    WithinOrigin,
}

impl From<Redirects> for Policy {
    fn from(redirects: Redirects) -> Self {
        match redirects {
            Redirects::Followed => Self::default(),
            Redirects::WithinOrigin => Self::custom(|attempt| {
                let from = attempt.previous().first().map(Url::origin);
                if from.is_some_and(|from| from == attempt.url().origin()) && attempt.previous().len() < 10 {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }),
        }
    }
}

/// Sets up the client.
///
/// # Errors
/// When the certificate files cannot be read, or https cannot be set up.
pub(super) fn client(reference: &RegistryRef, access: &Access, redirects: Redirects) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .redirect(redirects.into())
        .referer(false)
        .user_agent(concat!("faultline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .tls_danger_accept_invalid_certs(access.insecure);
    if reference.is_loopback() {
        // A proxy would look for the registry on its own machine.
        builder = builder.no_proxy();
    }
    let identity = identity(access)?;
    let built = match &access.ca_file {
        // Who trusts anyone has no use for the file, which must be one all the same.
        Some(path) if !access.insecure => {
            let pem = identity.as_ref().map(|(_, pem)| pem.as_slice());
            let config = trust::config(path, pem).map_err(|error| explained(error, access))?;
            builder.tls_backend_preconfigured(config).build()
        }
        file => {
            if let Some(path) = file {
                trust::config(path, None)?;
            }
            if let Some((identity, _)) = identity {
                builder = builder.identity(identity);
            }
            builder.build()
        }
    };
    built.map_err(|error| explained(error.into(), access)).context(
        "cannot set up https; if there are no CA certificates on this system, install its package ca-certificates or \
            let SSL_CERT_FILE name a file of them",
    )
}

/// The error of setting up TLS; of a client certificate that is too old, in words.
fn explained(error: anyhow::Error, access: &Access) -> anyhow::Error {
    match &access.cert_file {
        Some(path) if format!("{error:?}").contains("UnsupportedCertVersion") => anyhow::anyhow!(
            "the client certificate in `{}` is of X.509 version 1: make one of version 3, as `openssl x509 -req \
             -extfile FILE` does with any extension in FILE",
            path.display()
        ),
        _ => error,
    }
}

/// The certificate to show to the registry, if one is given, and its PEM.
fn identity(access: &Access) -> anyhow::Result<Option<(Identity, Vec<u8>)>> {
    let (Some(cert), Some(key)) = (&access.cert_file, &access.key_file) else { return Ok(None) };
    let mut pem = Vec::new();
    for path in [cert, key] {
        let read = std::fs::read(path);
        pem.extend(read.with_context(|| format!("cannot read the client certificate in `{}`", path.display()))?);
        pem.push(b'\n');
    }
    match Identity::from_pem(&pem) {
        Ok(identity) => Ok(Some((identity, pem))),
        Err(_) => {
            anyhow::bail!("`{}` and `{}` are no certificate and its private key in PEM", cert.display(), key.display())
        }
    }
}
