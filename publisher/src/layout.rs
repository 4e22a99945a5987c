//! An OCI image layout: a directory that holds artifacts as a registry would, readable by skopeo, crane and oras.
//!
//! Each file is written whole or not at all, and `index.json`, which makes an artifact visible, last. Other artifacts in the
//! same directory are left alone. Nothing is ever removed: that is for the tools that collect garbage.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use oci_distribution::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OciDescriptor};
use serde_json::{Value, json};

use crate::artifact::{Artifact, MANIFEST_TYPE};
use crate::digest::Digest;
use crate::files;
use crate::reference::LayoutRef;

/// Annotation in `index.json` that holds a tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// A tag in a layout directory.
pub struct Layout {
    /// What was named.
    pub reference: LayoutRef,
}

impl Layout {
    /// Reads a manifest, by this digest or else by tag. Its digest is verified.
    ///
    /// # Errors
    /// When the directory is no layout, or does not hold it.
    pub fn manifest(&self, digest: Option<&Digest>) -> anyhow::Result<(Vec<u8>, Digest)> {
        let digest = match digest {
            Some(digest) => digest.clone(),
            None => self.tagged()?,
        };
        Ok((self.read(&digest)?, digest))
    }

    /// Reads a blob; its digest is verified.
    ///
    /// # Errors
    /// When the layout does not hold it.
    pub fn blob(&self, descriptor: &OciDescriptor) -> anyhow::Result<Vec<u8>> {
        self.read(&descriptor.digest.parse()?)
    }

    /// Writes an artifact and its tag. Returns whether anything had to be written.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to; the tag is then where it was.
    pub fn push(&self, artifact: &Artifact) -> anyhow::Result<bool> {
        let dir = &self.reference.dir;
        let mut index = if dir.join("oci-layout").exists() {
            self.index()?
        } else {
            let taken = dir.exists() && dir.read_dir().with_context(|| unreadable(dir))?.next().is_some();
            ensure!(
                !taken,
                "`{}` is no OCI image layout and is not empty; give a new or empty directory",
                dir.display()
            );
            json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": []})
        };
        let blobs = [
            (artifact.layer.descriptor.digest.as_str(), artifact.layer.bytes.as_slice()),
            (artifact.config.descriptor.digest.as_str(), artifact.config.bytes.as_slice()),
            (&artifact.digest.to_string(), artifact.manifest.as_slice()),
        ];
        std::fs::create_dir_all(dir.join("blobs/sha256"))
            .with_context(|| format!("cannot create the directory `{}`; choose another", dir.display()))?;
        let mut written = false;
        for (digest, bytes) in blobs {
            let path = self.blob_path(&digest.parse()?);
            if std::fs::read(&path).ok().as_deref() != Some(bytes) {
                files::write(&path, bytes)?;
                written = true;
            }
        }
        if !dir.join("oci-layout").exists() {
            files::write(&dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            written = true;
        }
        let entry = json!({
            "mediaType": MANIFEST_TYPE,
            "digest": artifact.digest.to_string(),
            "size": artifact.manifest.len(),
            "annotations": {TAG: self.reference.tag},
        });
        let entries = index.get_mut("manifests").and_then(Value::as_array_mut).with_context(|| malformed(dir))?;
        if entries.iter().any(|old| self.is_tagged(old) && old["digest"] == entry["digest"]) {
            return Ok(written);
        }
        entries.retain(|old| !self.is_tagged(old));
        entries.push(entry);
        files::write(&dir.join("index.json"), &serde_json::to_vec(&index)?)?;
        Ok(true)
    }

    fn index(&self) -> anyhow::Result<Value> {
        let dir = &self.reference.dir;
        ensure!(dir.is_dir(), "there is no directory `{}`; push to it first, or check the path", dir.display());
        ensure!(
            dir.join("oci-layout").exists(),
            "`{}` is no OCI image layout: it has no file `oci-layout`",
            dir.display()
        );
        let bytes = std::fs::read(dir.join("index.json")).with_context(|| unreadable(dir))?;
        let index: Value = serde_json::from_slice(&bytes).with_context(|| malformed(dir))?;
        ensure!(index["manifests"].is_array(), malformed(dir));
        Ok(index)
    }

    fn tagged(&self) -> anyhow::Result<Digest> {
        let index = self.index()?;
        let entries = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| self.is_tagged(entry)) else {
            let tags: Vec<&str> = entries.iter().filter_map(|entry| entry["annotations"][TAG].as_str()).collect();
            let known = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
            bail!("`{}` has no tag `{}`; its tags: {known}", self.reference.dir.display(), self.reference.tag);
        };
        let digest = entry["digest"].as_str().unwrap_or_default();
        digest.parse().with_context(|| malformed(&self.reference.dir))
    }

    fn is_tagged(&self, entry: &Value) -> bool {
        entry["annotations"][TAG] == self.reference.tag.as_str()
    }

    fn read(&self, digest: &Digest) -> anyhow::Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "`{}` does not hold {digest}; check the digest, or push or copy to it again",
                self.reference.dir.display()
            )
        })?;
        let actual = Digest::of(&bytes);
        ensure!(actual == *digest, "`{}` is damaged: wrong digest {actual}; push or copy to it again", path.display());
        Ok(bytes)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.reference.dir.join("blobs/sha256").join(digest.hex())
    }
}

fn unreadable(dir: &Path) -> String {
    format!("cannot read the layout `{}`", dir.display())
}

fn malformed(dir: &Path) -> String {
    format!("`{}` is malformed; remove the directory and push again", dir.join("index.json").display())
}
