//! Sets up the HTTP client: time-outs, redirects, certificates, proxies.

use std::time::Duration;

use anyhow::Context;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Url};

use super::access::Access;
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
    let mut own = false;
    if let Some(path) = &access.ca_file {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read the CA certificates in `{}`", path.display()))?;
        let found = Certificate::from_pem_bundle(&bytes).unwrap_or_default();
        anyhow::ensure!(!found.is_empty(), "there is no PEM certificate in `{}`", path.display());
        (builder, own) = (builder.tls_certs_merge(found), true);
    }
    if let Some(identity) = identity(access)? {
        builder = builder.identity(identity);
    }
    builder.build().context(if own {
        "cannot use the certificates given with --ca-file"
    } else {
        "cannot set up https; if there are no CA certificates on this system, install its package ca-certificates or \
            let \
         SSL_CERT_FILE name a file of them"
    })
}

/// The certificate to show to the registry, if one is given.
fn identity(access: &Access) -> anyhow::Result<Option<Identity>> {
    let (Some(cert), Some(key)) = (&access.cert_file, &access.key_file) else { return Ok(None) };
    let mut pem = Vec::new();
    for path in [cert, key] {
        let read = std::fs::read(path);
        pem.extend(read.with_context(|| format!("cannot read the client certificate in `{}`", path.display()))?);
        pem.push(b'\n');
    }
    match Identity::from_pem(&pem) {
        Ok(identity) => Ok(Some(identity)),
        Err(_) => {
            anyhow::bail!("`{}` and `{}` are no certificate and its private key in PEM", cert.display(), key.display())
        }
    }
}
