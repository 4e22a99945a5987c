//! Documents attached to an artifact: separate OCI artifacts that name it as their `subject`.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use oci_distribution::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde::Serialize;

use super::Store;
use super::manifest::{Name, RawManifest, describe};
use crate::reference::digest::Digest;

/// The media type of an empty config, from the image specification.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The content of an empty config.
pub(crate) const EMPTY_CONFIG: &[u8] = b"{}";

/// The manifest of a document that is attached to `subject`. It contains no time of day, so the same document gives the
/// same digest.
///
/// # Errors
/// Only if the manifest cannot be written as JSON, which no input causes.
pub(crate) fn document_manifest(
    subject: &RawManifest,
    title: &str,
    kind: &str,
    document: &[u8],
) -> anyhow::Result<RawManifest> {
    let layer = OciDescriptor {
        annotations: Some(BTreeMap::from([("org.opencontainers.image.title".to_owned(), title.to_owned())])),
        ..describe(kind, document)
    };
    let manifest = serde_json::to_vec(&OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        artifact_type: Some(kind.to_owned()),
        config: describe(EMPTY, EMPTY_CONFIG),
        layers: vec![layer],
        subject: Some(subject.descriptor()),
        ..OciImageManifest::default()
    })?;
    Ok(RawManifest::new(OCI_IMAGE_MEDIA_TYPE, manifest))
}

/// A document attached to an artifact.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attached {
    /// The document's media type.
    pub(crate) artifact_type: String,
    /// Digest of its manifest.
    pub(crate) digest: String,
    /// Size of its manifest in bytes.
    pub(crate) size: i64,
}

/// Lists the documents attached to a manifest. The second value says why there may be more, if there may.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn list(store: &Store, subject: &Digest) -> anyhow::Result<(Vec<Attached>, Option<String>)> {
    let mut found = Vec::new();
    let referrers = store.referrers(subject).await?;
    for descriptor in referrers.found {
        let kind = match descriptor.artifact_type {
            Some(kind) if kind != EMPTY => kind,
            // cosign 3 lists the media type of its empty config; the document's type is in its own manifest.
            _ => document_type(store, &descriptor.digest.parse()?).await?.unwrap_or_else(|| "unknown".to_owned()),
        };
        found.push(Attached { artifact_type: kind, digest: descriptor.digest, size: descriptor.size });
    }
    Ok((found, referrers.remark))
}

async fn document_type(store: &Store, digest: &Digest) -> anyhow::Result<Option<String>> {
    let Some(raw) = store.fetch(Name::Digest(digest)).await? else { return Ok(None) };
    let Ok(manifest) = serde_json::from_slice::<OciImageManifest>(&raw.bytes) else { return Ok(None) };
    Ok(manifest.artifact_type.or_else(|| manifest.layers.first().map(|layer| layer.media_type.clone())))
}

/// The most bytes of an attached document that are fetched.
const MOST_OF_A_DOCUMENT: i64 = 256 * 1024 * 1024;

/// The content of an attached document, and its media type.
///
/// # Errors
/// When it cannot be read, is too large, or is not one document.
pub(crate) async fn content(store: &Store, attached: &Attached) -> anyhow::Result<(Vec<u8>, String)> {
    let digest: Digest = attached.digest.parse().context("the list of what is attached is malformed")?;
    let raw = store.fetch(Name::Digest(&digest)).await?;
    let raw = raw.with_context(|| format!("{digest} is listed as attached, but is not there"))?;
    let manifest: OciImageManifest =
        serde_json::from_slice(&raw.bytes).with_context(|| format!("the manifest of {digest} cannot be read"))?;
    let [layer] = manifest.layers.as_slice() else {
        bail!("{digest} holds {} documents, not one; oras pull fetches them", manifest.layers.len());
    };
    ensure!(layer.size <= MOST_OF_A_DOCUMENT, "the document has {} bytes, which is too many", layer.size);
    let bytes = store.blob(layer, &ProgressBar::hidden()).await?;
    Ok((bytes, layer.media_type.clone()))
}
