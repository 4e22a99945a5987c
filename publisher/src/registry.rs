//! Talks to a registry, through `oci-distribution` (oci-client), with as few requests as that allows.
//!
//! What the library leaves to its user is done here: retries with back-off, a login that says so when the password is wrong,
//! asking before uploading, progress, and errors that name a remedy. A push sends the manifest last, so one that fails leaves
//! the tag where it was.
//!
//! Requests: the library asks `GET /v2/` before each request for as long as it holds credentials but no token, "anonymous"
//! included. So uploads go through a second client, which holds a token, or nothing where nothing is wanted. It does not show
//! `Retry-After`; the back-off is fixed.

use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use oci_distribution::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_distribution::errors::OciDistributionError as ClientError;
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor,
};
use oci_distribution::secrets::RegistryAuth;
use oci_distribution::{Reference as ClientReference, RegistryOperation};

use crate::artifact::{Artifact, Blob, MANIFEST_TYPE};
use crate::auth::Credentials;
use crate::cli::Transport;
use crate::digest::Digest;
use crate::fault::Cause;
use crate::reference::RegistryRef;

/// The first pause before trying again; each further one is twice as long.
const BACK_OFF: Duration = Duration::from_millis(250);

/// How long a connection may take to be made, and how long it may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a blob that are handed to the connection at once: the grain of the progress bar.
const PIECE: usize = 64 * 1024;

/// The only reason why the client cannot be set up, certificates of one's own aside.
const NO_ROOTS: &str = "cannot set up https; if there are no CA certificates on this system, install its package ca-certificates \
                        or let SSL_CERT_FILE name a file of them";

/// A failed exchange: what was tried, why it failed, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {}{}{remedy}", cause.what(), if *tries > 1 { format!(" ({tries} times)") } else { String::new() })]
pub struct RegistryError {
    doing: String,
    cause: Cause,
    tries: u32,
    remedy: String,
}

impl RegistryError {
    /// Whether the registry said that it has no such thing.
    pub fn is_missing(&self) -> bool {
        self.cause == Cause::Missing
    }
}

/// One repository of one registry, and how to reach it.
pub struct Registry {
    /// What was named.
    pub reference: RegistryRef,
    credentials: Credentials,
    transport: Transport,
    authorities: Vec<Certificate>,
    client: Client,
}

impl Registry {
    /// Prepares to talk; nothing is sent yet.
    ///
    /// # Errors
    /// When the credentials or the certificate file cannot be read.
    pub fn open(reference: RegistryRef, transport: &Transport) -> anyhow::Result<Self> {
        let credentials = match &transport.username {
            Some(username) => Credentials::from_stdin(username)?,
            None => Credentials::from_files(&reference.host)?,
        };
        let authorities = match &transport.ca_file {
            None => Vec::new(),
            Some(path) => {
                let bytes = std::fs::read(path)
                    .with_context(|| format!("cannot read the CA certificates in `{}`", path.display()))?;
                let found = certificates(&bytes);
                anyhow::ensure!(!found.is_empty(), "there is no PEM certificate in `{}`", path.display());
                found
            }
        };
        let transport = transport.clone();
        let client = client(&reference, &transport, &authorities)?;
        Ok(Self { reference, credentials, transport, authorities, client })
    }

    /// Fetches a manifest, by this digest or else by tag. The digest of what comes is verified.
    ///
    /// # Errors
    /// When the registry does not serve it, or serves something else.
    pub async fn manifest(&self, digest: Option<&Digest>) -> Result<(Vec<u8>, Digest), RegistryError> {
        let name = match digest {
            Some(digest) => format!("{}@{digest}", self.reference.tagged()),
            None => self.reference.tagged(),
        };
        self.fetch(&format!("read `{name}`"), digest).await.map_err(|error| match digest {
            // The tag is not asked for then, and may well be there.
            Some(digest) if error.is_missing() && self.reference.digest.as_ref() == Some(digest) => {
                let (repository, tagged) = (&self.reference.repository, self.reference.tagged());
                let remedy = format!(
                    "; check the digest, and the repository `{repository}`: `faultline inspect {tagged}` shows the digest that the tag has now"
                );
                RegistryError { remedy, ..error }
            }
            _ => error,
        })
    }

    async fn fetch(&self, doing: &str, digest: Option<&Digest>) -> Result<(Vec<u8>, Digest), RegistryError> {
        let accepted = [
            OCI_IMAGE_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        ];
        let (reference, auth) = (self.name(digest), self.credentials.for_client());
        let (bytes, _) =
            self.retried(doing, async || self.client.pull_manifest_raw(&reference, &auth, &accepted).await).await?;
        let actual = Digest::of(&bytes);
        Ok((bytes.to_vec(), actual))
    }

    /// Fetches a blob, verified, into memory.
    ///
    /// # Errors
    /// When the registry does not serve it, or serves something else.
    pub async fn blob(&self, descriptor: &OciDescriptor, bar: &ProgressBar) -> Result<Vec<u8>, RegistryError> {
        let reference = self.name(None);
        let most = usize::try_from(descriptor.size).unwrap_or(0);
        self.retried(&format!("download `{}`", self.reference.tagged()), async || {
            bar.set_position(0);
            let mut stream = self.client.pull_blob_stream(&reference, descriptor.digest.as_str()).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                let piece = piece?;
                if bytes.len() + piece.len() > most {
                    return Err(ClientError::SpecViolationError(format!(
                        "more than the {most} bytes that were announced"
                    )));
                }
                bytes.extend_from_slice(&piece);
                bar.inc(piece.len() as u64);
            }
            Ok(bytes)
        })
        .await
    }

    /// Publishes an artifact, sending only what is not there. Returns whether anything was sent.
    ///
    /// # Errors
    /// When the registry does not take it; the tag is then where it was.
    pub async fn push(&self, artifact: &Artifact, bar: &ProgressBar) -> anyhow::Result<bool> {
        let doing = self.pushing();
        match self.fetch(&doing, None).await {
            Ok((_, digest)) if digest == artifact.digest => return Ok(false),
            Ok(_) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        let client = self.uploader().await?;
        // The config's content follows from the layer's: where the layer is missing, so is the config, and need not be asked for.
        let layer_there = self.is_there(&client, &artifact.layer).await?;
        if !layer_there {
            self.upload(&client, &artifact.layer, bar).await?;
        }
        if !layer_there || !self.is_there(&client, &artifact.config).await? {
            self.upload(&client, &artifact.config, &ProgressBar::hidden()).await?;
        }
        let reference = self.name(None);
        self.retried(&doing, async || {
            let content_type = MANIFEST_TYPE.parse().map_err(|_| ClientError::GenericError(None))?;
            client.push_manifest_raw(&reference, artifact.manifest.clone(), content_type).await
        })
        .await?;
        Ok(true)
    }

    /// Logs in for writing, and returns a client that need not do so again.
    async fn uploader(&self) -> anyhow::Result<Client> {
        let (reference, auth) = (self.name(None), self.credentials.for_client());
        let token = self
            .retried(&format!("log in to `{}`", self.reference.host), async || {
                self.client.auth(&reference, &auth, RegistryOperation::Push).await
            })
            .await?;
        let bearer = token.map(RegistryAuth::Bearer);
        match (&bearer, &self.credentials) {
            (None, Credentials::Basic { .. }) => Ok(self.client.clone()),
            _ => {
                let client = client(&self.reference, &self.transport, &self.authorities)?;
                if let Some(bearer) = bearer {
                    client.store_auth_if_needed(reference.resolve_registry(), &bearer).await;
                }
                Ok(client)
            }
        }
    }

    async fn is_there(&self, client: &Client, blob: &Blob) -> Result<bool, RegistryError> {
        let reference = self.name(None);
        self.retried(&self.pushing(), async || client.blob_exists(&reference, &blob.descriptor.digest).await).await
    }

    async fn upload(&self, client: &Client, blob: &Blob, bar: &ProgressBar) -> Result<(), RegistryError> {
        let reference = self.name(None);
        self.retried(&self.pushing(), async || {
            bar.set_position(0);
            let pieces: Vec<Vec<u8>> = blob.bytes.chunks(PIECE).map(<[u8]>::to_vec).collect();
            let seen = bar.clone();
            let body = stream::iter(pieces).map(move |piece| {
                seen.inc(piece.len() as u64);
                Ok(piece.into())
            });
            let digest = &blob.descriptor.digest;
            match client.push_blob_stream(&reference, body, digest, Some(blob.bytes.len() as u64)).await {
                // Some registries do not say where they put it. Whether they did can be asked.
                Err(ClientError::RegistryNoLocationError) if client.blob_exists(&reference, digest).await? => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }

    fn pushing(&self) -> String {
        format!("push to `{}`", self.reference.tagged())
    }

    /// The library's reference, put together and not parsed.
    fn name(&self, digest: Option<&Digest>) -> ClientReference {
        let RegistryRef { host, repository, tag, .. } = self.reference.clone();
        match digest {
            Some(digest) => ClientReference::with_tag_and_digest(host, repository, tag, digest.to_string()),
            None => ClientReference::with_tag(host, repository, tag),
        }
    }

    /// Tries, and while the cause may pass, tries again after a pause.
    async fn retried<T>(
        &self,
        doing: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, RegistryError> {
        let mut pause = BACK_OFF;
        let mut tries = 1;
        loop {
            let cause = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => Cause::of(&error),
            };
            if tries > self.transport.retries || !cause.is_passing() {
                let remedy = self.remedy(&cause);
                return Err(RegistryError { doing: doing.to_owned(), cause, tries, remedy });
            }
            crate::output::note(&format!("{}; trying again in {} ms", cause.what(), pause.as_millis()));
            tokio::time::sleep(pause).await;
            pause *= 2;
            tries += 1;
        }
    }

    /// What to do about it, as the rest of a sentence.
    fn remedy(&self, cause: &Cause) -> String {
        let host = &self.reference.host;
        match cause {
            Cause::Unreachable(_) => format!("; check that `{host}` is right and that the registry is up"),
            Cause::NotTls => "; if it is a registry without TLS, add --plain-http".into(),
            Cause::OnlyTls => "; leave --plain-http off, and for localhost add --ca-file or --insecure".into(),
            // What `openssl req -x509` makes by default: other clients let it pass.
            Cause::Certificate(why) if why.contains("CaUsedAsEndEntity") => {
                "; it is an authority's own certificate: use one that the authority has signed, or --insecure to trust anyone".into()
            }
            Cause::Certificate(_) => "; give its authority with --ca-file, or --insecure to trust anyone".into(),
            Cause::Unauthorized => match &self.credentials {
                Credentials::Anonymous => format!(
                    "; no credentials for `{host}` were found: run `docker login {host}`, or give --username and --password-stdin"
                ),
                Credentials::Basic { username, origin, .. } => {
                    format!("; it refused the user `{username}` from {origin}: check the password and its rights")
                }
            },
            Cause::Forbidden => format!("; check that your user may use `{}`, and that it exists", self.reference.repository),
            Cause::Missing => format!("; check repository `{}` and tag `{}`", self.reference.repository, self.reference.tag),
            Cause::TooManyRequests => "; wait a while, or log in for a higher limit".into(),
            Cause::Status(500..=599, _) => "; try again later, or ask those who run the registry".into(),
            Cause::Status(..) => "; ask those who run the registry".into(),
            Cause::Broken(_) => "; check the network and try again".into(),
            Cause::Digest { .. } => {
                "; the registry, or something on the way to it, changed the content: do not use it, and push again".into()
            }
            Cause::Answer(_) => format!("; check that `{host}` is a registry"),
        }
    }
}

fn client(reference: &RegistryRef, transport: &Transport, authorities: &[Certificate]) -> anyhow::Result<Client> {
    if transport.insecure || !authorities.is_empty() {
        // The library also builds its default client, and panics where that fails though ours would not: so ask for it first.
        Client::try_from(ClientConfig::default()).context(NO_ROOTS)?;
    }
    let protocol = if transport.is_plain_http(reference) { ClientProtocol::Http } else { ClientProtocol::Https };
    Client::try_from(ClientConfig {
        protocol,
        accept_invalid_certificates: transport.insecure,
        extra_root_certificates: authorities.to_vec(),
        use_monolithic_push: true,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("faultline/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
    .context(if authorities.is_empty() { NO_ROOTS } else { "cannot use the certificates given with --ca-file" })
}

/// Splits a PEM bundle, for the library takes one certificate at a time.
fn certificates(bundle: &[u8]) -> Vec<Certificate> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(bundle);
    text.split_inclusive(END)
        .filter(|part| part.contains("-----BEGIN CERTIFICATE-----") && part.ends_with(END))
        .map(|part| Certificate { encoding: CertificateEncoding::Pem, data: part.as_bytes().to_vec() })
        .collect()
}
