//! Blobs of a repository: lookup, download, upload, and mounting from another repository of the same registry.
//!
//! An upload is first sent in one piece, because some registries accept nothing else and it saves a request. If that is
//! refused or the connection breaks, the blob is sent in pieces, because some registries, or proxies in front of them,
//! limit the size of a request.

use std::io::{self, Write};

use bytes::Bytes;
use indicatif::ProgressBar;
use oci_distribution::manifest::OciDescriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::cause::{ErrorCause, RequestError};
use super::error::RegistryError;
use super::http::{Call, Part, Success};
use super::{Registry, header, present, stored_as};
use crate::content::{Content, Spool};
use crate::reference::digest::{Digest, Hasher};
use crate::store::pipe::Pipe;

/// The size of a piece in bytes, unless the registry asks for larger ones.
const CHUNK: u64 = 4 * 1024 * 1024;

/// The largest size of a piece in bytes that a registry may ask for.
const MOST_CHUNK: u64 = 1024 * 1024 * 1024;

/// An upload in progress: the URL to send to, and the size of a piece in bytes.
struct Session {
    url: Url,
    chunk: u64,
}

impl Registry {
    /// Whether a blob of this size in bytes is in this repository. A registry that does not tell the size is believed.
    ///
    /// # Errors
    /// When the registry does not say.
    pub(crate) async fn has_blob(&self, digest: &Digest, size: i64) -> Result<bool, RegistryError> {
        let ask = async |method| {
            let call = Call::new(method, self.url(&format!("blobs/{digest}")), Success::Blob);
            present(self.http.with_retries(&self.pushing(), async || self.http.send(&call).await).await)
        };
        let asked = match ask(Method::HEAD).await {
            // Of the answer to GET the body is not read.
            Err(error) if error.is_of_the_method() || error.lacks_a_reason() => ask(Method::GET).await,
            asked => asked,
        };
        let Some(response) = asked? else { return Ok(false) };
        // Some answer HEAD with a length of 0, which is that of the answer's own body.
        let told = header(&response, CONTENT_LENGTH.as_str()).and_then(|told| told.parse::<i64>().ok());
        Ok(told.is_none_or(|told| told == size || told == 0))
    }

    /// Fetches a blob and verifies its size and digest.
    ///
    /// # Errors
    /// When the registry does not serve it, or serves something else; or it cannot be kept.
    pub(crate) async fn blob(
        &self,
        descriptor: &OciDescriptor,
        digest: &Digest,
        bar: &ProgressBar,
    ) -> anyhow::Result<Content> {
        let kept = self.blob_into(descriptor, digest, bar, || Ok(Spool::new())).await.and_then(|it| Ok(it.finish()?));
        kept.map_err(|error| match error.is::<io::Error>() {
            true => error.context("cannot keep what is downloaded; TMPDIR names the directory for temporary files"),
            false => error,
        })
    }

    /// Fetches a blob into what `begin` makes for each attempt, and verifies its size and digest. What was taken counts
    /// only if this succeeds.
    ///
    /// # Errors
    /// When the registry does not serve it, or serves something else; and those of `begin` and what it makes.
    pub(crate) async fn blob_into<S: Sink>(
        &self,
        descriptor: &OciDescriptor,
        digest: &Digest,
        bar: &ProgressBar,
        mut begin: impl FnMut() -> anyhow::Result<S>,
    ) -> anyhow::Result<S> {
        let doing = format!("download `{}`", self.reference().tagged());
        let call = Call::new(Method::GET, self.url(&format!("blobs/{digest}")), Success::Blob);
        let start = bar.position();
        let fetched = self.http.with_retries(&doing, async || {
            bar.set_position(start);
            let response = self.http.send(&call).await?;
            match begin() {
                Ok(sink) => receive(response, descriptor, digest, bar, sink).await,
                Err(error) => Ok(Err(error)),
            }
        });
        fetched.await?
    }

    /// Sends a blob without checking first whether the registry has it.
    ///
    /// # Errors
    /// When the registry does not accept it.
    pub(crate) async fn put_blob(
        &self,
        digest: &Digest,
        content: &Content,
        bar: &ProgressBar,
    ) -> Result<(), RegistryError> {
        let start = bar.position();
        let mut in_pieces = false;
        self.http
            .with_retries(&self.pushing(), async || {
                bar.set_position(start);
                let session = self.start_upload().await?;
                if in_pieces {
                    return self.send_in_pieces(session, digest, content, bar).await;
                }
                match self.send_whole(session, digest, content, bar).await {
                    Err(failure) if refuses_size(&failure.cause) => {
                        bar.set_position(start);
                        let session = self.start_upload().await?;
                        self.send_in_pieces(session, digest, content, bar).await
                    }
                    other => {
                        in_pieces = matches!(&other, Err(RequestError { cause: ErrorCause::Broken(_), .. }));
                        other
                    }
                }
            })
            .await
    }

    /// Mounts a blob from another repository of the same registry. Returns whether it worked; a registry may
    /// decline.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    pub(crate) async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, RegistryError> {
        let mut url = self.url("blobs/uploads/");
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
        let call = Call::new(Method::POST, url, Success::Mounted);
        let attempt = async || {
            let response = match self.http.send(&call).await {
                Err(failure) if !failure.cause.is_passing() => return Ok(false),
                other => other?,
            };
            if response.status() == StatusCode::CREATED {
                return Ok(true);
            }
            // The registry started an upload instead, which is not needed. If cancelling fails, the registry expires
            // it.
            if let Ok(session) = self.session(&response) {
                let _ = self.http.send(&Call::new(Method::DELETE, session.url, Success::Removed)).await;
            }
            Ok(false)
        };
        self.http.with_retries(&self.pushing(), attempt).await
    }

    async fn start_upload(&self) -> Result<Session, RequestError> {
        let response = self.http.send(&Call::new(Method::POST, self.url("blobs/uploads/"), Success::Begun)).await?;
        self.session(&response)
    }

    fn session(&self, response: &Response) -> Result<Session, RequestError> {
        let url = match (header(response, LOCATION.as_str()), header(response, "docker-upload-uuid")) {
            (Some(location), _) => self.http.follow(response.url(), &location)?,
            (None, Some(id)) => self.url(&format!("blobs/uploads/{id}")),
            (None, None) => return Err(ErrorCause::Answer("it does not say where to upload to".into()).into()),
        };
        let least = header(response, "oci-chunk-min-length").and_then(|least| least.parse().ok()).unwrap_or(0);
        Ok(Session { url, chunk: CHUNK.max(least).min(MOST_CHUNK) })
    }

    async fn send_whole(
        &self,
        to: Session,
        digest: &Digest,
        content: &Content,
        bar: &ProgressBar,
    ) -> Result<(), RequestError> {
        let headers = vec![(CONTENT_TYPE, "application/octet-stream".to_owned())];
        let body = Some((Part::whole(content), bar));
        let url = with_digest(to.url, digest);
        let call = Call { headers, body, ..Call::new(Method::PUT, url, Success::Stored) };
        stored_as(&self.http.send(&call).await?, digest)
    }

    async fn send_in_pieces(
        &self,
        mut to: Session,
        digest: &Digest,
        content: &Content,
        bar: &ProgressBar,
    ) -> Result<(), RequestError> {
        let mut sent = 0;
        while sent < content.size() {
            let size = to.chunk.min(content.size() - sent);
            let headers = vec![
                (CONTENT_TYPE, "application/octet-stream".to_owned()),
                (CONTENT_RANGE, format!("{sent}-{}", sent + size - 1)),
            ];
            let call = Call::new(Method::PATCH, to.url.clone(), Success::Taken);
            let body = Some((Part { of: content, start: sent, size }, bar));
            let response = self.http.send(&Call { headers, body, ..call }).await?;
            sent += size;
            // Without a `Location`, the next piece goes to the same URL.
            if let Some(location) = header(&response, LOCATION.as_str()) {
                to.url = self.http.follow(response.url(), &location)?;
            }
        }
        let call = Call::new(Method::PUT, with_digest(to.url, digest), Success::Stored);
        stored_as(&self.http.send(&call).await?, digest)
    }
}

/// Takes a blob in pieces.
pub(crate) trait Sink {
    /// Takes the next piece.
    ///
    /// # Errors
    /// When it cannot be kept.
    async fn take(&mut self, piece: Bytes) -> io::Result<()>;
}

impl Sink for Spool {
    async fn take(&mut self, piece: Bytes) -> io::Result<()> {
        self.write_all(&piece)
    }
}

impl<T: Send + 'static> Sink for Pipe<T> {
    async fn take(&mut self, piece: Bytes) -> io::Result<()> {
        self.push(piece).await;
        Ok(())
    }
}

/// Reads a blob. That it cannot be kept is the inner error: trying again would not help.
async fn receive<S: Sink>(
    mut response: Response,
    descriptor: &OciDescriptor,
    digest: &Digest,
    bar: &ProgressBar,
    mut sink: S,
) -> Result<anyhow::Result<S>, RequestError> {
    let most = u64::try_from(descriptor.size).unwrap_or(0);
    let (mut hasher, mut size) = (Hasher::default(), 0);
    while let Some(piece) = response.chunk().await? {
        size += piece.len() as u64;
        if size > most {
            return Err(ErrorCause::Answer(format!("more than the {most} bytes that were announced")).into());
        }
        hasher.push(&piece);
        bar.inc(piece.len() as u64);
        if let Err(error) = sink.take(piece).await {
            return Ok(Err(error.into()));
        }
    }
    let actual = hasher.finish();
    if actual != *digest {
        return Err(ErrorCause::Digest { expected: digest.to_string(), actual: actual.to_string() }.into());
    }
    if size != most {
        let actual = usize::try_from(size).unwrap_or(usize::MAX);
        return Err(ErrorCause::Size { announced: descriptor.size, actual }.into());
    }
    Ok(Ok(sink))
}

fn with_digest(mut url: Url, digest: &Digest) -> Url {
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

/// Whether the registry may accept the blob in smaller pieces.
fn refuses_size(cause: &ErrorCause) -> bool {
    matches!(cause, ErrorCause::Missing(_) | ErrorCause::Status(400 | 405 | 411 | 413 | 416, _))
}
