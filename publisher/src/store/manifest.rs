//! Manifests as stored. They are kept byte for byte, because the digest of the bytes identifies them.

use oci_distribution::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::reference::digest::Digest;

/// How a manifest is addressed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    /// A tag.
    Tag(&'a str),
    /// A digest.
    Digest(&'a Digest),
}

impl<'a> Name<'a> {
    /// By the digest if there is one, else by the tag; `None` if there is neither.
    pub(crate) fn of(tag: Option<&'a str>, digest: Option<&'a Digest>) -> Option<Self> {
        digest.map(Name::Digest).or(tag.map(Name::Tag))
    }
}

/// A manifest or an index, byte for byte as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawManifest {
    /// Its media type.
    pub(crate) media_type: String,
    /// The digest of its bytes.
    pub(crate) digest: Digest,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

impl RawManifest {
    /// A manifest of a known type.
    pub(crate) fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.into(), digest: Digest::of(&bytes), bytes }
    }

    /// A manifest as received. Its own `mediaType` takes precedence over the registry's; both may be missing.
    pub(crate) fn received(media_type: Option<&str>, bytes: Vec<u8>) -> Self {
        let content: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let media_type = match (content["mediaType"].as_str(), media_type) {
            (Some(own), _) => own,
            (None, Some(told)) if told.starts_with("application/vnd.") => told,
            _ if content["manifests"].is_array() => OCI_IMAGE_INDEX_MEDIA_TYPE,
            _ => OCI_IMAGE_MEDIA_TYPE,
        };
        Self::new(media_type.to_owned(), bytes)
    }

    /// Its descriptor, for use as a `subject` and the like.
    pub(crate) fn descriptor(&self) -> OciDescriptor {
        OciDescriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.to_string(),
            size: i64::try_from(self.bytes.len()).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        }
    }

    /// Whether it is an index of manifests.
    pub(crate) fn is_index(&self) -> bool {
        self.json()["manifests"].is_array()
    }

    /// Its content as JSON, `null` if it is malformed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// The tag under which clients keep the list of a manifest's referrers if the registry does not.
pub(crate) fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The entry in a list of referrers. It includes type and annotations, so that a reader need not fetch each manifest.
pub(crate) fn referrer_entry(manifest: &RawManifest) -> Value {
    let content = manifest.json();
    let mut entry = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
    });
    let kind = content["artifactType"].as_str().or(content["config"]["mediaType"].as_str());
    if let Some(kind) = kind {
        entry["artifactType"] = kind.into();
    }
    if content["annotations"].is_object() {
        entry["annotations"] = content["annotations"].clone();
    }
    entry
}

/// The raw entries of an index; empty if it is not an index.
pub(super) fn entries(index: &Value) -> &[Value] {
    index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What is attached to a manifest, as far as its store tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referrers {
    /// Their descriptors, with artifact types and annotations.
    pub(crate) found: Vec<OciDescriptor>,
    /// Why there may be more, if there may.
    pub(crate) remark: Option<String>,
}

impl Referrers {
    /// Adds the entries of a list. Those that are malformed are counted in the remark.
    pub(super) fn add(&mut self, entries: &[Value]) {
        let read: Vec<_> = entries.iter().filter_map(|entry| OciDescriptor::deserialize(entry).ok()).collect();
        let malformed = entries.len() - read.len();
        self.found.extend(read);
        if malformed > 0 {
            self.doubt(format!("{malformed} of the entries in the list of what is attached cannot be read"));
        }
    }

    /// Notes why there may be more.
    pub(super) fn doubt(&mut self, why: String) {
        self.remark = Some(match self.remark.take() {
            Some(before) => format!("{before}; {why}"),
            None => why,
        });
    }
}

/// The descriptor of these bytes.
pub(crate) fn describe(media_type: &str, bytes: &[u8]) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes).to_string(),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}
