//! An OCI image layout: a directory that stores artifacts as a registry would, readable by skopeo, crane and oras.
//!
//! Each file is written completely or not at all. `index.json`, which makes an artifact visible, is written last. It
//! lists the tagged manifests and, without a tag, those that are attached to others, as oras does. Other artifacts in
//! the same directory are left alone. Nothing is ever removed; garbage collection is left to other tools.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use oci_distribution::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use serde_json::{Value, json};

use super::manifest::{Name, RawManifest, Referrers, entries, fallback_tag, referrer_entry};
use crate::artifact::pack::Artifact;
use crate::files;
use crate::reference::LayoutRef;
use crate::reference::digest::Digest;

/// Annotation in `index.json` that holds a tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// A tag in a layout directory.
pub(crate) struct Layout {
    /// The directory and tag that the user named.
    pub(crate) reference: LayoutRef,
}

impl Layout {
    /// Reads the manifest with this digest, otherwise the one with the tag, and verifies its digest.
    ///
    /// # Errors
    /// When the directory is not a layout, or does not hold the manifest.
    pub(crate) fn manifest(&self, digest: Option<&Digest>) -> anyhow::Result<RawManifest> {
        let (dir, tag) = (self.reference.dir.display(), &self.reference.tag);
        match digest {
            Some(digest) => self.read_manifest(digest),
            None => match self.fetch(Name::Tag(tag))? {
                Some(manifest) => Ok(manifest),
                None => {
                    let tags = self.tags()?;
                    let known = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
                    bail!("`{dir}` has no tag `{tag}`; its tags: {known}")
                }
            },
        }
    }

    /// Reads a manifest; `None` if there is none.
    ///
    /// # Errors
    /// When the directory is not a layout, or is damaged.
    pub(crate) fn fetch(&self, name: Name<'_>) -> anyhow::Result<Option<RawManifest>> {
        let digest = match name {
            Name::Digest(digest) => digest.clone(),
            // A layout that is about to be written may not exist yet.
            Name::Tag(_) if self.is_new()? => return Ok(None),
            Name::Tag(tag) => match entries(&self.index()?).iter().find(|entry| entry["annotations"][TAG] == tag) {
                None => return Ok(None),
                Some(entry) => entry["digest"]
                    .as_str()
                    .unwrap_or_default()
                    .parse()
                    .with_context(|| malformed(&self.reference.dir))?,
            },
        };
        if matches!(name, Name::Digest(_)) && !self.has_blob(&digest) {
            return Ok(None);
        }
        self.read_manifest(&digest).map(Some)
    }

    /// Reads a blob; its digest is verified.
    ///
    /// # Errors
    /// When the layout does not hold it.
    pub(crate) fn blob(&self, digest: &Digest) -> anyhow::Result<Vec<u8>> {
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

    /// Whether the layout holds a blob, undamaged.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob(digest).is_ok()
    }

    /// Writes an artifact and its tag. Returns whether anything was written.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to; the tag is then unchanged.
    pub(crate) fn push(&self, artifact: &Artifact) -> anyhow::Result<bool> {
        let mut written = false;
        for blob in artifact.blobs() {
            let digest = blob.descriptor.digest.parse()?;
            if !self.has_blob(&digest) {
                self.put_blob(&digest, &blob.bytes)?;
                written = true;
            }
        }
        let manifest = RawManifest::new(artifact.media_type, artifact.manifest.clone());
        Ok(self.put(&manifest, Some(&self.reference.tag))? || written)
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to.
    pub(crate) fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> anyhow::Result<()> {
        self.prepare()?;
        files::write(&self.blob_path(digest), bytes)
    }

    /// Writes a manifest, either under a tag or only as a blob for others to refer to. Returns whether anything was
    /// written.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to; the tag is then unchanged.
    pub(crate) fn put(&self, manifest: &RawManifest, tag: Option<&str>) -> anyhow::Result<bool> {
        let mut written = false;
        if !self.has_blob(&manifest.digest) {
            self.put_blob(&manifest.digest, &manifest.bytes)?;
            written = true;
        }
        let Some(tag) = tag else { return Ok(written) };
        let entry = json!({
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            "annotations": {TAG: tag},
        });
        let is_tagged = |old: &Value| old["annotations"][TAG] == tag;
        let changed = self.change_index(|entries| {
            if entries.iter().any(|old| is_tagged(old) && old["digest"] == entry["digest"]) {
                return false;
            }
            entries.retain(|old| !is_tagged(old));
            entries.push(entry);
            true
        })?;
        Ok(changed || written)
    }

    /// All tags, in the order in which they were added.
    ///
    /// # Errors
    /// When the directory is not a layout.
    pub(crate) fn tags(&self) -> anyhow::Result<Vec<String>> {
        let index = self.index()?;
        Ok(entries(&index).iter().filter_map(|entry| entry["annotations"][TAG].as_str().map(str::to_owned)).collect())
    }

    /// The descriptors of the manifests attached to `subject`: those in the index whose subject it is, and the entries
    /// of a list that was copied from a registry without the referrers API.
    ///
    /// # Errors
    /// When the directory is not a layout, or is damaged.
    pub(crate) fn referrers(&self, subject: &Digest) -> anyhow::Result<Referrers> {
        let index = self.index()?;
        let mut referrers = Referrers::default();
        let mut absent = 0;
        for entry in entries(&index) {
            let Ok(digest) = entry["digest"].as_str().unwrap_or_default().parse::<Digest>() else { continue };
            // A layout may name what it does not hold.
            if !self.blob_path(&digest).exists() {
                absent += 1;
                continue;
            }
            let manifest = self.read_manifest(&digest)?;
            if entry["annotations"][TAG] == fallback_tag(subject).as_str() {
                referrers.add(entries(&manifest.json()));
            } else if manifest.json()["subject"]["digest"] == subject.to_string() {
                referrers.add(&[referrer_entry(&manifest)]);
            }
        }
        if absent > 0 {
            referrers.doubt(format!("{absent} of the manifests that the layout names are not in it"));
        }
        referrers.found.sort_by(|a, b| a.digest.cmp(&b.digest));
        referrers.found.dedup_by(|a, b| a.digest == b.digest);
        Ok(referrers)
    }

    /// Writes a manifest that has a subject, and adds an index entry without a tag for it.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to.
    pub(crate) fn attach(&self, manifest: &RawManifest) -> anyhow::Result<()> {
        self.put(manifest, None)?;
        let digest = manifest.digest.to_string();
        self.change_index(|entries| {
            let known = entries.iter().any(|old| old["digest"] == digest);
            if !known {
                entries.push(referrer_entry(manifest));
            }
            !known
        })
        .map(drop)
    }

    /// Whether the directory is a layout.
    fn is_there(&self) -> bool {
        self.reference.dir.join("oci-layout").exists()
    }

    /// Whether the directory does not exist yet or is empty.
    fn is_new(&self) -> anyhow::Result<bool> {
        let dir = &self.reference.dir;
        Ok(!dir.exists() || dir.read_dir().with_context(|| unreadable(dir))?.next().is_none())
    }

    /// Makes the directory a layout, if it is new or empty.
    fn prepare(&self) -> anyhow::Result<()> {
        let dir = &self.reference.dir;
        let blobs = dir.join("blobs/sha256");
        if self.is_there() && blobs.is_dir() {
            return Ok(());
        }
        ensure!(
            self.is_there() || self.is_new()?,
            "`{}` is no OCI image layout and is not empty; give a new or empty directory",
            dir.display()
        );
        std::fs::create_dir_all(&blobs)
            .with_context(|| format!("cannot create the directory `{}`; choose another", dir.display()))?;
        if !dir.join("index.json").exists() {
            let empty = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": []});
            files::write(&dir.join("index.json"), empty.to_string().as_bytes())?;
        }
        files::write(&dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    fn index(&self) -> anyhow::Result<Value> {
        let dir = &self.reference.dir;
        ensure!(dir.is_dir(), "there is no directory `{}`; push to it first, or check the path", dir.display());
        ensure!(self.is_there(), "`{}` is no OCI image layout: it has no file `oci-layout`", dir.display());
        let bytes = std::fs::read(dir.join("index.json")).with_context(|| unreadable(dir))?;
        let index: Value = serde_json::from_slice(&bytes).with_context(|| malformed(dir))?;
        ensure!(index["manifests"].is_array(), malformed(dir));
        Ok(index)
    }

    /// Changes the entries of `index.json`. The closure returns whether there is anything to write.
    fn change_index(&self, change: impl FnOnce(&mut Vec<Value>) -> bool) -> anyhow::Result<bool> {
        self.prepare()?;
        let dir = &self.reference.dir;
        let mut index = self.index()?;
        let entries = index.get_mut("manifests").and_then(Value::as_array_mut).with_context(|| malformed(dir))?;
        if !change(entries) {
            return Ok(false);
        }
        files::write(&dir.join("index.json"), &serde_json::to_vec(&index)?)?;
        Ok(true)
    }

    fn read_manifest(&self, digest: &Digest) -> anyhow::Result<RawManifest> {
        Ok(RawManifest::received(None, self.blob(digest)?))
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
