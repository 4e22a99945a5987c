//! One repository of a registry: its manifests and tags. [`blob`] moves content, [`referrers`] finds attachments,
//! [`push`] publishes. Everything goes through [`http`], the only file that sends requests.
//!
//! Requests are kept few: HEAD checks for a tag, and for content before it is sent; nothing requests `/v2/` first.

pub(crate) mod access;
mod blob;
mod cause;
mod challenge;
mod client;
mod error;
mod exchange;
pub(crate) mod http;
mod istio_agent;
mod proxy;
mod push;
mod referrers;
mod retry;
mod token;
mod trust;
mod words;

use std::cell::RefCell;
use std::time::Duration;

use indicatif::ProgressBar;
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use reqwest::{Method, Response, Url};
use serde_json::Value;

use super::manifest::{Name, RawManifest};
use crate::content::Content;
use crate::reference::RegistryRef;
use crate::reference::digest::Digest;
use access::Access;
use cause::{ErrorCause, RequestError};
use error::RegistryError;
use http::{Call, Http, Part, Success, body};
use istio_agent::Trust;

/// The header that holds a manifest's digest.
const DIGEST: &str = "docker-content-digest";

/// The largest manifest in bytes that is read, which is also what registries agree to accept.
const MOST_MANIFEST: usize = 4 * 1024 * 1024;

/// The most pages of a list that are read.
const MOST_PAGES: usize = 1000;

/// The most tags that are read.
const MOST_TAGS: usize = 1_000_000;

/// How many tags to request per page: the most that every registry allows.
const TAGS_PER_PAGE: usize = 1000;

/// How long to wait at least before looking whether another program has overwritten what was written.
const SETTLE: Duration = Duration::from_millis(250);

/// One repository of a registry, with the connection to it.
pub(crate) struct Registry {
    http: Http,
    trust: Trust,
    /// What was added to the lists of referrers that clients keep: the subject, and the entry.
    listed: RefCell<Vec<(Digest, Value)>>,
}

impl Registry {
    /// Reads credentials and sets up the client; nothing is sent yet.
    ///
    /// # Errors
    /// When the credentials or the certificate file cannot be read.
    pub(crate) fn open(reference: RegistryRef, access: &Access) -> anyhow::Result<Self> {
        let credentials = access.credentials(&reference)?;
        let trust = Trust::of(access);
        Ok(Self { http: Http::new(reference, credentials, access)?, trust, listed: RefCell::default() })
    }

    /// Waits longer than another program takes from reading a manifest to writing a changed one, with some chance in
    /// it, so that two of this kind do not go on overwriting each other.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(SETTLE.mul_f64(1.0 + fastrand::f64())).await;
    }

    /// Why Istio's agent cannot pull from here, or not without a setting, as far as the answers to the requests so far
    /// tell.
    pub(crate) fn istio_warnings(&self) -> Vec<String> {
        istio_agent::warnings(&self.reference().authority, self.http.refused_realm.borrow().as_ref(), self.trust)
    }

    /// Requests the first token with write access, which saves a second one.
    pub(crate) fn for_writing(&self) {
        self.http.writing.set(true);
    }

    /// The reference that the user named.
    pub(crate) fn reference(&self) -> &RegistryRef {
        &self.http.reference
    }

    /// Fetches a manifest and verifies its digest; `None` if there is none.
    ///
    /// # Errors
    /// When the registry does not serve it, or serves something else.
    pub(crate) async fn fetch(&self, name: Name<'_>) -> Result<Option<RawManifest>, RegistryError> {
        let attempt = async || self.fetch_once(name).await;
        present(self.http.with_retries(&self.reading(name), attempt).await)
    }

    async fn fetch_once(&self, name: Name<'_>) -> Result<RawManifest, RequestError> {
        let call = Call::new(Method::GET, self.manifest_url(name), Success::Read);
        let response = self.http.send(&Call { headers: vec![(ACCEPT, manifests())], ..call }).await?;
        let announced = header(&response, DIGEST).filter(|digest| digest.starts_with("sha256:"));
        let media_type = header(&response, CONTENT_TYPE.as_str());
        let manifest = RawManifest::received(media_type.as_deref(), body(response, MOST_MANIFEST).await?);
        let expected = match name {
            Name::Digest(digest) => Some(digest.to_string()),
            Name::Tag(_) => announced,
        };
        match expected {
            Some(expected) if !expected.eq_ignore_ascii_case(&manifest.digest.to_string()) => {
                Err(ErrorCause::Digest { expected, actual: manifest.digest.to_string() }.into())
            }
            _ if !manifest.json().is_object() => Err(ErrorCause::Answer("its manifest is no JSON".into()).into()),
            _ => Ok(manifest),
        }
    }

    /// Fetches the manifest with this digest, or otherwise the one that the reference's tag names.
    ///
    /// # Errors
    /// As [`Registry::fetch`], and when it does not exist.
    pub(crate) async fn manifest(&self, digest: Option<&Digest>) -> Result<RawManifest, RegistryError> {
        let RegistryRef { tag, digest: own, .. } = self.reference();
        let Some(name) = Name::of(tag.as_deref(), digest.or(own.as_ref())) else {
            let cause = ErrorCause::Missing(String::new());
            return Err(RegistryError::new("read it", cause, 1, &self.http.reference, &self.http.credentials));
        };
        if let Some(manifest) = self.fetch(name).await? {
            return Ok(manifest);
        }
        let (doing, http) = (self.reading(name), &self.http);
        let error =
            RegistryError::new(&doing, ErrorCause::Missing(String::new()), 1, &http.reference, &http.credentials);
        Err(match digest {
            // With a digest, the tag is not looked up, so it may well exist.
            Some(digest) if http.reference.digest.as_ref() == Some(digest) => {
                let (repository, tagged) = (&http.reference.repository, http.reference.tagged());
                error.with_remedy(format!(
                    "; check the digest, and the repository `{repository}`: `faultline inspect {tagged}` shows the \
                        digest that the tag has now"
                ))
            }
            _ => error,
        })
    }

    /// The digest of a manifest, without fetching it; `None` if there is none.
    ///
    /// # Errors
    /// When the registry does not say.
    pub(crate) async fn head(&self, name: Name<'_>) -> Result<Option<Digest>, RegistryError> {
        let url = self.manifest_url(name);
        let doing = if self.http.writing.get() { self.pushing() } else { self.reading(name) };
        let attempt = async || {
            let call = Call::new(Method::HEAD, url.clone(), Success::Read);
            let response = self.http.send(&Call { headers: vec![(ACCEPT, manifests())], ..call }).await?;
            let told = header(&response, DIGEST).and_then(|digest| digest.parse::<Digest>().ok());
            match (name, &told) {
                (Name::Digest(digest), Some(told)) if told != digest => {
                    Err(ErrorCause::Digest { expected: digest.to_string(), actual: told.to_string() }.into())
                }
                _ => Ok(told),
            }
        };
        match present(self.http.with_retries(&doing, attempt).await) {
            // The manifest exists, but the answer has no digest.
            Ok(Some(None)) => Ok(self.fetch(name).await?.map(|manifest| manifest.digest)),
            Ok(told) => Ok(told.flatten()),
            Err(error) if error.is_of_the_method() => Ok(self.fetch(name).await?.map(|manifest| manifest.digest)),
            // The answer to HEAD has no body that could say why; and a gateway may know GET only.
            Err(error) if error.lacks_a_reason() => match self.fetch_once(name).await {
                Ok(manifest) => Ok(Some(manifest.digest)),
                Err(RequestError { cause: ErrorCause::Missing(_), .. }) => Ok(None),
                Err(RequestError { cause, .. }) if cause.gives_a_reason() => {
                    Err(RegistryError::new(&doing, cause, 1, &self.http.reference, &self.http.credentials))
                }
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Stores a manifest. Returns whether the registry lists it among the referrers of its subject.
    ///
    /// # Errors
    /// When the registry does not accept it; the tag is then unchanged.
    pub(crate) async fn put(&self, manifest: &RawManifest, tag: Option<&str>) -> Result<bool, RegistryError> {
        let url = self.manifest_url(tag.map_or(Name::Digest(&manifest.digest), Name::Tag));
        let content = Content::from(manifest.bytes.clone());
        self.http
            .with_retries(&self.pushing(), async || {
                let hidden = ProgressBar::hidden();
                let headers = vec![(CONTENT_TYPE, manifest.media_type.clone())];
                let body = Some((Part::whole(&content), &hidden));
                let call = Call::new(Method::PUT, url.clone(), Success::Published);
                let response = self.http.send(&Call { headers, body, ..call }).await?;
                // A registry or proxy that rewrites manifests tells so: what was sent is not what is there.
                stored_as(&response, &manifest.digest)?;
                Ok(response.headers().contains_key("oci-subject"))
            })
            .await
    }

    /// Removes a tag, or a manifest by its digest with all its tags.
    ///
    /// # Errors
    /// When it is not there, or the registry does not allow it.
    pub(crate) async fn delete(&self, name: Name<'_>) -> Result<(), RegistryError> {
        let call = Call::new(Method::DELETE, self.manifest_url(name), Success::Removed);
        let doing = self.reading(name).replacen("read", "delete", 1);
        let deleted = self.http.with_retries(&doing, async || self.http.send(&call).await).await;
        deleted.map(drop).map_err(|error| match name {
            // The CNCF's distribution before 3.0, and others, remove manifests only.
            Name::Tag(_) if error.is_unsupported() => error.with_remedy(
                "; it removes no tags: give the digest to remove the manifest with all its tags, if that is meant"
                    .into(),
            ),
            _ if error.is_unsupported() => {
                error.with_remedy("; it may be configured to allow no deletion: ask those who run it".into())
            }
            _ => error,
        })
    }

    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// When the registry does not list them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let doing = format!("list the tags of `{}/{}`", self.reference().authority, self.reference().repository);
        let mut url = self.url(&format!("tags/list?n={TAGS_PER_PAGE}"));
        let mut tags = Vec::new();
        let mut pages = Pages::default();
        loop {
            pages.begin(&doing, &url, &self.http)?;
            let (page, next) = self.page(&doing, &url, None).await.map_err(|error| {
                let remedy = format!("; check the repository `{}`", self.reference().repository);
                if error.is_missing() { error.with_remedy(remedy) } else { error }
            })?;
            // Some registries send `null` here for a repository without tags.
            let listed = page.get("tags").map(|tags| serde_json::from_value::<Option<Vec<String>>>(tags.clone()));
            let Some(Ok(listed)) = listed else {
                let cause = ErrorCause::Answer("its list is not one of tags".into());
                return Err(RegistryError::new(&doing, cause, 1, &self.http.reference, &self.http.credentials));
            };
            tags.extend(listed.into_iter().flatten());
            if tags.len() > MOST_TAGS {
                let cause = ErrorCause::Answer(format!("a list of more than {MOST_TAGS} tags"));
                return Err(RegistryError::new(&doing, cause, 1, &self.http.reference, &self.http.credentials));
            }
            match next {
                Some(next) => url = next,
                None => return Ok(tags),
            }
        }
    }

    /// One page of a list, and the URL of the next page.
    async fn page(&self, doing: &str, url: &Url, accept: Option<&str>) -> Result<(Value, Option<Url>), RegistryError> {
        self.http
            .with_retries(doing, async || {
                let headers = accept.map(|accept| (ACCEPT, accept.to_owned())).into_iter().collect();
                let response =
                    self.http.send(&Call { headers, ..Call::new(Method::GET, url.clone(), Success::Read) }).await?;
                let mut links = response.headers().get_all(LINK).iter().filter_map(|link| link.to_str().ok());
                let next = links.find_map(next_of).map(|next| self.http.follow(response.url(), next)).transpose()?;
                let bytes = body(response, 4 * MOST_MANIFEST).await?;
                let page =
                    serde_json::from_slice(&bytes).map_err(|_| ErrorCause::Answer("its list is no JSON".into()))?;
                Ok((page, next))
            })
            .await
    }

    fn manifest_url(&self, name: Name<'_>) -> Url {
        match name {
            Name::Tag(tag) => self.url(&format!("manifests/{tag}")),
            Name::Digest(digest) => self.url(&format!("manifests/{digest}")),
        }
    }

    /// The URL of a path in this repository; what follows a `?` is the query.
    fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.http.url(&format!("{}/{path}", self.reference().repository));
        url.set_query(query);
        url
    }

    fn reading(&self, name: Name<'_>) -> String {
        let RegistryRef { authority, repository, .. } = self.reference();
        match name {
            Name::Tag(tag) => format!("read `{authority}/{repository}:{tag}`"),
            Name::Digest(digest) => format!("read `{}@{digest}`", self.reference().tagged()),
        }
    }

    fn pushing(&self) -> String {
        format!("push to `{}`", self.reference().tagged())
    }
}

/// Where the next page is, by a `Link` header, which may lead to other pages too.
fn next_of(links: &str) -> Option<&str> {
    links.split('<').skip(1).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let mut parameters = parameters.split([';', ',']).filter_map(|parameter| parameter.split_once('='));
        let is_next = |(name, value): (&str, &str)| {
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        };
        parameters.any(is_next).then_some(target)
    })
}

/// Turns a "not found" error into `None`.
fn present<T>(result: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The `Accept` header: every media type of a manifest or index.
fn manifests() -> String {
    [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE]
        .join(", ")
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Checks the digest under which a registry says that it has stored something.
///
/// # Errors
/// When it is another one than that of what was sent.
fn stored_as(response: &Response, digest: &Digest) -> Result<(), RequestError> {
    match header(response, DIGEST).filter(|told| told.starts_with("sha256:")) {
        Some(told) if !told.eq_ignore_ascii_case(&digest.to_string()) => {
            Err(ErrorCause::Digest { expected: digest.to_string(), actual: told }.into())
        }
        _ => Ok(()),
    }
}

/// The pages of a list that were read.
#[derive(Default)]
struct Pages(Vec<Url>);

impl Pages {
    /// Notes a page before it is read.
    ///
    /// # Errors
    /// When it was read before, or there is no end to the pages.
    fn begin(&mut self, doing: &str, url: &Url, http: &Http) -> Result<(), RegistryError> {
        let why = match self.0.len() {
            MOST_PAGES => format!("its list has more than {MOST_PAGES} pages"),
            _ if self.0.contains(url) => "the pages of its list lead in a circle".to_owned(),
            _ => {
                self.0.push(url.clone());
                return Ok(());
            }
        };
        Err(RegistryError::new(doing, ErrorCause::Answer(why), 1, &http.reference, &http.credentials))
    }

    /// Whether only the first page was begun.
    fn is_first(&self) -> bool {
        self.0.len() == 1
    }
}
