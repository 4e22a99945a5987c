//! Copies an artifact from one store to another, byte for byte, with everything that belongs to it.
//!
//! That includes the children of an index; cosign's signatures, attestations and SBOMs, which are tagged with the
//! artifact's digest; and all documents attached to the artifact, to its children, and to those documents. The tag is
//! set last. Blobs that the destination already has are not sent, and blobs in another repository of the same registry
//! are mounted. Large blobs are never in memory.

use std::collections::BTreeSet;

use anyhow::{Context, anyhow, bail, ensure};
use indicatif::ProgressBar;
use oci_distribution::manifest::OciDescriptor;
use serde::Deserialize;

use super::manifest::{Name, RawManifest, entries};
use super::{Store, ensure_size};
use crate::reference::Reference;
use crate::reference::digest::Digest;

/// The deepest level of documents attached to attached documents that is copied.
const DEEPEST: usize = 8;

/// The suffixes that cosign adds to the tag that names a digest.
const COSIGN: [&str; 3] = ["sig", "att", "sbom"];

/// Counts of what was sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Number of blobs, including those that the registry mounted from another repository.
    pub(crate) blobs: usize,
    /// Bytes of the blobs that passed through this program.
    pub(crate) bytes: u64,
    /// Number of signatures and documents.
    pub(crate) attached: usize,
    /// What may be left behind, and why.
    pub(crate) remarks: Vec<String>,
}

/// Copies between two stores.
pub(crate) struct Copier {
    source: Store,
    destination: Store,
    /// The source's repository, if both are in the same registry.
    shared: Option<String>,
    /// The manifests whose attachments are copied already, so that a cycle of attachments ends.
    done: BTreeSet<String>,
    sent: Sent,
    /// Creates a progress bar from a label and a total in bytes.
    progress: fn(&'static str, u64) -> ProgressBar,
}

/// Whether signatures and attached documents are copied too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attachments {
    /// They are copied.
    Along,
    /// They are not copied.
    LeftBehind,
}

/// The result of a copy.
pub(crate) struct Copied {
    /// The manifest or index that was copied.
    pub(crate) root: RawManifest,
    /// What was sent.
    pub(crate) sent: Sent,
    /// Whether the destination's tag already pointed to it.
    pub(crate) tagged: bool,
}

impl Copier {
    /// A copier from one store to another; `shared` is the source's repository, if both are in the same registry.
    pub(crate) fn new(
        source: Store,
        destination: Store,
        shared: Option<String>,
        progress: fn(&'static str, u64) -> ProgressBar,
    ) -> Self {
        Self { source, destination, shared, done: BTreeSet::new(), sent: Sent::default(), progress }
    }

    /// Copies what `from` names to where `to` says. The tag is set last.
    ///
    /// # Errors
    /// When there is no such artifact, or the destination does not accept it; the destination's tag is then unchanged.
    pub(crate) async fn copy(
        mut self,
        from: &Reference,
        to: &Reference,
        attachments: Attachments,
    ) -> anyhow::Result<Copied> {
        let root = self.source.manifest(from.digest()).await?;
        if let Some(expected) = to.digest() {
            ensure!(
                *expected == root.digest,
                "`{from}` is {}, not the {expected} of `{to}`; leave the digest off",
                root.digest
            );
        }
        let tag = to.tag().context("a copy needs a tag")?;
        let tagged = self.destination.head(Name::Tag(tag)).await?.as_ref() == Some(&root.digest);
        let subjects = if tagged { self.subjects(&root)? } else { self.content(&root).await? };
        if attachments == Attachments::Along {
            // Some registries refuse an attachment whose subject they do not have.
            let mut stored = tagged;
            for subject in subjects {
                self.attached(&subject, &root, &mut stored, 0).await?;
            }
            self.destination.confirm_attached().await?;
        }
        if !tagged {
            self.destination.put(&root, Some(tag)).await?;
        }
        Ok(Copied { root, sent: self.sent, tagged })
    }

    /// Copies everything that a manifest refers to, but not the manifest. Returns the digests that may have
    /// attachments.
    async fn content(&mut self, manifest: &RawManifest) -> anyhow::Result<Vec<Digest>> {
        let mut subjects = vec![manifest.digest.clone()];
        for child in children(manifest)? {
            let digest = child.digest.parse::<Digest>().context("the index is malformed")?;
            let announced = child.size;
            let Some(child) = self.source.fetch(Name::Digest(&digest)).await? else {
                bail!(
                    "the index {} names {digest}, which is not there; copy one of its images by its own digest",
                    manifest.digest
                )
            };
            ensure_size(announced, child.bytes.len() as u64, &digest)?;
            ensure!(children(&child)?.is_empty(), "{} is an index of indexes, which no mesh follows", manifest.digest);
            if self.destination.head(Name::Digest(&digest)).await?.is_none() {
                self.blobs(&child).await?;
                self.destination.put(&child, None).await?;
            }
            subjects.push(digest);
        }
        self.blobs(manifest).await?;
        Ok(subjects)
    }

    /// The digests that may have attachments, for when there is nothing to copy.
    fn subjects(&self, manifest: &RawManifest) -> anyhow::Result<Vec<Digest>> {
        let children = children(manifest)?.into_iter().map(|child| child.digest.parse::<Digest>());
        let children = children.collect::<Result<Vec<_>, _>>().context("the index is malformed")?;
        Ok([manifest.digest.clone()].into_iter().chain(children).collect())
    }

    /// Copies the blobs that an image's manifest names.
    async fn blobs(&mut self, manifest: &RawManifest) -> anyhow::Result<()> {
        let content = manifest.json();
        let named = content["layers"].as_array().into_iter().flatten().chain(content.get("config"));
        for descriptor in named {
            let descriptor: OciDescriptor =
                serde_json::from_value(descriptor.clone()).context("the manifest is malformed")?;
            // A layer with URLs is not distributable; clients fetch it from these URLs if they may.
            if descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
                continue;
            }
            let digest = descriptor.digest.parse::<Digest>().context("the manifest is malformed")?;
            // One of another size is fetched, so that it is told which of the two is wrong.
            if self.destination.has_blob(&digest, descriptor.size).await? {
                continue;
            }
            if let (Some(repository), Store::Registry(registry)) = (&self.shared, &self.destination)
                && self.source.has_blob(&digest, descriptor.size).await?
                && registry.mount(&digest, repository).await?
            {
                self.sent.blobs += 1;
                continue;
            }
            let size = descriptor.size.unsigned_abs();
            let bar = (self.progress)("fetching", size);
            let content = self.source.content(&descriptor, &bar).await?;
            drop(bar);
            let bar = (self.progress)("uploading", size);
            self.destination.put_blob(&digest, &content, &bar).await?;
            self.sent.blobs += 1;
            self.sent.bytes += size;
        }
        Ok(())
    }

    /// Copies the attachments of `subject`, and their attachments in turn.
    async fn attached(
        &mut self,
        subject: &Digest,
        root: &RawManifest,
        stored: &mut bool,
        depth: usize,
    ) -> anyhow::Result<()> {
        if depth > DEEPEST || !self.done.insert(subject.to_string()) {
            return Ok(());
        }
        for kind in COSIGN {
            let tag = format!("sha256-{}.{kind}", subject.hex());
            let Some(manifest) = self.source.fetch(Name::Tag(&tag)).await? else { continue };
            if self.destination.head(Name::Tag(&tag)).await?.as_ref() != Some(&manifest.digest) {
                self.content(&manifest).await?;
                self.destination.put(&manifest, Some(&tag)).await?;
                self.sent.attached += 1;
            }
        }
        let hint = "--no-attached copies the artifact without what is attached to it";
        let referrers = self.source.referrers(subject).await.map_err(|error| anyhow!("{error:#}; {hint}"))?;
        if let Some(remark) = referrers.remark {
            self.sent.remarks.push(format!("what is attached to {subject} may not all be copied: {remark}; {hint}"));
        }
        let referrers = referrers.found;
        let known = if referrers.is_empty() { Vec::new() } else { self.destination_referrers(subject).await };
        for referrer in referrers {
            let digest = referrer.digest.parse::<Digest>().context("the list of what is attached is malformed")?;
            if !known.contains(&referrer.digest) {
                let manifest = self.source.fetch(Name::Digest(&digest)).await?;
                // A list may name a manifest that has been deleted since.
                let Some(manifest) = manifest else {
                    self.sent.remarks.push(format!("{digest} is listed as attached to {subject}, but is not there"));
                    continue;
                };
                if !*stored {
                    self.destination.put(root, None).await?;
                    *stored = true;
                }
                self.content(&manifest).await?;
                self.destination.attach(&manifest).await?;
                self.sent.attached += 1;
            }
            Box::pin(self.attached(&digest, root, stored, depth + 1)).await?;
        }
        Ok(())
    }

    /// What the destination lists already. If it does not say, everything is attached again, which changes nothing.
    async fn destination_referrers(&self, subject: &Digest) -> Vec<String> {
        let listed = self.destination.referrers(subject).await.unwrap_or_default();
        listed.found.into_iter().map(|descriptor| descriptor.digest).collect()
    }
}

/// The manifests that an index names; none for an image.
fn children(manifest: &RawManifest) -> anyhow::Result<Vec<OciDescriptor>> {
    let content = manifest.json();
    let read = |entry| OciDescriptor::deserialize(entry).context("the index is malformed");
    entries(&content).iter().map(read).collect()
}
