//! Publishes an artifact. Only what is missing is sent, and the manifest last, so that a failed push leaves the tag
//! unchanged.

use anyhow::Context;
use futures_util::future::try_join_all;
use indicatif::ProgressBar;

use super::Registry;
use crate::artifact::pack::Artifact;
use crate::reference::digest::Digest;
use crate::store::manifest::{Name, RawManifest};

impl Registry {
    /// Publishes an artifact, sending only what the registry does not have. Returns whether anything was sent.
    ///
    /// # Errors
    /// When the registry does not accept it; the tag is then unchanged.
    pub(crate) async fn push(&self, artifact: &Artifact, bar: &ProgressBar) -> anyhow::Result<bool> {
        self.for_writing();
        let tag = self.reference().tag.as_deref().context("a push needs a tag")?;
        if self.head(Name::Tag(tag)).await?.as_ref() == Some(&artifact.digest) {
            return Ok(false);
        }
        // If one blob is missing, the module is new. The remaining blobs are small and derive from it, so they are sent
        // without a check.
        let mut known = true;
        let mut missing = Vec::new();
        for blob in artifact.blobs() {
            let digest: Digest = blob.descriptor.digest.parse()?;
            known = known && self.has_blob(&digest, blob.descriptor.size).await?;
            if !known {
                missing.push((digest, blob));
            }
        }
        // At the same time; what is small beside the module has no part in the progress.
        let hidden = ProgressBar::hidden();
        let most = missing.iter().map(|(_, blob)| blob.content.size()).max();
        let uploads = missing.iter().map(|(digest, blob)| {
            let bar = if Some(blob.content.size()) == most { bar } else { &hidden };
            self.put_blob(digest, &blob.content, bar)
        });
        try_join_all(uploads).await?;
        let manifest = RawManifest::new(artifact.media_type, artifact.manifest.clone());
        self.put(&manifest, Some(tag)).await?;
        Ok(true)
    }
}
