//! Referrers of a manifest: signatures, SBOMs, anything that names it as its `subject`.
//!
//! Registries that implement the referrers API list them at `/referrers/`. For the others, the specification has
//! clients keep the list as an index under the subject's tag `sha256-<hex>`. GitLab reads such a tag as the digest and
//! answers with the subject itself, so no list can be kept there.
//!
//! Such a list is read, changed and written, and the API has no conditional writes, so of two programs that do it at
//! the same time one can overwrite the other's entry. It is therefore looked at again at the end, a moment later. What
//! cannot be mended is a program that reads the list before, takes longer than that moment, and does not look again.

use oci_distribution::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use serde_json::{Value, json};

use super::cause::ErrorCause;
use super::error::RegistryError;
use super::{Pages, Registry};
use crate::reference::digest::Digest;
use crate::store::manifest::{Name, RawManifest, Referrers, entries, fallback_tag, referrer_entry};

/// How often a list that others overwrite is written again.
const ATTEMPTS: usize = 10;

impl Registry {
    /// What is attached to `subject`. Where the registry, or a gateway before it, does not let its list be asked for,
    /// the one that clients keep is read, and the remark says so.
    ///
    /// # Errors
    /// When the registry does not say.
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Referrers, RegistryError> {
        let doing = format!("list what is attached to `{}@{subject}`", self.reference().tagged());
        let mut url = self.url(&format!("referrers/{subject}"));
        let mut referrers = Referrers::default();
        let mut pages = Pages::default();
        loop {
            pages.begin(&doing, &url, &self.http)?;
            let is_first = pages.is_first();
            match self.page(&doing, &url, Some(OCI_IMAGE_INDEX_MEDIA_TYPE)).await {
                Ok((page, next)) if page["manifests"].is_array() => {
                    referrers.add(entries(&page));
                    match next {
                        Some(next) => url = next,
                        None => return Ok(referrers),
                    }
                }
                // A registry without the referrers API answers with an error or with other content.
                Ok(_) if is_first => break,
                Err(error) if is_first && error.is_no_such_service() => break,
                Err(error) if is_first && error.is_not_allowed() => {
                    referrers.doubt(format!("it could not be asked for: {}", error.what()));
                    break;
                }
                Ok(_) => {
                    let cause = ErrorCause::Answer("a page of its list is none".into());
                    return Err(RegistryError::new(&doing, cause, 1, &self.http.reference, &self.http.credentials));
                }
                Err(error) => return Err(error),
            }
        }
        match self.kept_list(subject).await {
            Ok(Kept::List(list)) => referrers.add(entries(&list)),
            Ok(Kept::Nothing | Kept::Impossible) => {}
            Err(error) if referrers.remark.is_some() && error.is_not_allowed() => {}
            Err(error) => return Err(error),
        }
        Ok(referrers)
    }

    /// Stores a manifest that has a subject, so that it is listed among the subject's referrers.
    ///
    /// # Errors
    /// When the registry does not accept it, or cannot keep the list.
    pub(crate) async fn attach(&self, manifest: &RawManifest, subject: &Digest) -> Result<(), RegistryError> {
        if self.put(manifest, None).await? {
            return Ok(());
        }
        let list = match self.kept_list(subject).await? {
            Kept::List(list) => list,
            Kept::Nothing => empty_list(),
            Kept::Impossible => {
                let cause =
                    ErrorCause::Answer(format!("it serves the tag {} as the image itself", fallback_tag(subject)));
                let http = &self.http;
                let error = RegistryError::new(&self.pushing(), cause, 1, &http.reference, &http.credentials);
                return Err(error.with_remedy("; what is attached in this registry would not be found".into()));
            }
        };
        self.listed.borrow_mut().push((subject.clone(), referrer_entry(manifest)));
        self.add_to_list(list, subject, &referrer_entry(manifest)).await.map(drop)
    }

    /// Adds an entry to the list of referrers that clients keep. Returns whether it was missing.
    async fn add_to_list(&self, mut list: Value, subject: &Digest, entry: &Value) -> Result<bool, RegistryError> {
        let Some(entries) = list["manifests"].as_array_mut() else { return Ok(false) };
        if entries.iter().any(|known| known["digest"] == entry["digest"]) {
            return Ok(false);
        }
        entries.push(entry.clone());
        let list = RawManifest::new(OCI_IMAGE_INDEX_MEDIA_TYPE, list.to_string().into_bytes());
        self.put(&list, Some(&fallback_tag(subject))).await?;
        Ok(true)
    }

    /// Looks again whether what [`Registry::attach`] listed is still in the lists that clients keep, and adds it again
    /// if another program that had read a list before has overwritten it since.
    ///
    /// # Errors
    /// When the registry does not say or accept it, or others overwrite the lists all the time.
    pub(crate) async fn confirm_attached(&self) -> Result<(), RegistryError> {
        let listed = self.listed.take();
        for _ in 0..ATTEMPTS {
            if listed.is_empty() {
                return Ok(());
            }
            self.settle().await;
            let mut lost = false;
            for (subject, entry) in &listed {
                let list = match self.kept_list(subject).await? {
                    Kept::List(list) => list,
                    Kept::Nothing | Kept::Impossible => empty_list(),
                };
                lost |= self.add_to_list(list, subject, entry).await?;
            }
            if !lost {
                return Ok(());
            }
        }
        let cause = ErrorCause::Answer("others change the list of what is attached all the time".into());
        let http = &self.http;
        let error = RegistryError::new(&self.pushing(), cause, 1, &http.reference, &http.credentials);
        Err(error.with_remedy("; try again later".into()))
    }

    async fn kept_list(&self, subject: &Digest) -> Result<Kept, RegistryError> {
        let Some(found) = self.fetch(Name::Tag(&fallback_tag(subject))).await? else { return Ok(Kept::Nothing) };
        if found.digest == *subject {
            return Ok(Kept::Impossible);
        }
        let list = serde_json::from_slice::<Value>(&found.bytes).unwrap_or_default();
        Ok(if list["manifests"].is_array() { Kept::List(list) } else { Kept::Nothing })
    }
}

fn empty_list() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": []})
}

/// The list of referrers that clients keep.
enum Kept {
    /// An index.
    List(Value),
    /// There is no list yet.
    Nothing,
    /// The registry reads the list's tag as the subject's digest.
    Impossible,
}
