//! An OCI image layout: a directory that stores artifacts as a registry would, readable by skopeo, crane and oras.
//!
//! Each file is written completely or not at all. `index.json`, which makes an artifact visible, is written last. It
//! lists the tagged manifests and, without a tag, those that are attached to others, as oras does. Other artifacts in
//! the same directory are left alone. Nothing is ever removed; garbage collection is left to other tools.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use oci_distribution::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use serde_json::{Value, json};

use super::layout_archive::Unpacked;
use super::layout_index;
use super::manifest::{Name, RawManifest, Referrers, entries, fallback_tag, referrer_entry};
use crate::artifact::pack::Artifact;
use crate::content::Content;
use crate::files::{self, NewFile};
use crate::reference::LayoutRef;
use crate::reference::digest::{Digest, Hasher};
use crate::terminal::escape;

/// The largest manifest in bytes that is read.
const MOST_MANIFEST: u64 = 4 * 1024 * 1024;

/// Annotation in `index.json` that holds a tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// A tag in a layout directory.
pub(crate) struct Layout {
    /// The directory, or archive, and tag that the user named.
    reference: LayoutRef,
    /// The archive, unpacked, if it is one.
    archive: Option<Unpacked>,
}

impl Layout {
    /// Opens a layout. An archive is unpacked; a directory is not looked at yet.
    ///
    /// # Errors
    /// When the archive cannot be unpacked.
    pub(crate) fn open(reference: LayoutRef) -> anyhow::Result<Self> {
        let archive = (reference.is_archive || reference.dir.is_file()).then(|| Unpacked::open(&reference.dir));
        Ok(Self { archive: archive.transpose()?, reference })
    }

    /// Where the layout's files are.
    fn root(&self) -> &Path {
        self.archive.as_ref().map_or(&self.reference.dir, Unpacked::root)
    }

    /// Reads the manifest with this digest, otherwise the one with the tag, and verifies its digest.
    ///
    /// # Errors
    /// When the directory is not a layout, or does not hold the manifest.
    pub(crate) fn manifest(&self, digest: Option<&Digest>) -> anyhow::Result<RawManifest> {
        let dir = self.reference.dir.display();
        if let Some(digest) = digest.or(self.reference.digest.as_ref()) {
            return self.read_manifest(digest);
        }
        let Some(tag) = &self.reference.tag else { return self.only_manifest() };
        if let Some(manifest) = self.fetch(Name::Tag(tag))? {
            return Ok(manifest);
        }
        let tags = self.tags()?;
        let known = if tags.is_empty() { "none".to_owned() } else { escape::one_line(&tags.join(", ")) };
        bail!("`{dir}` has no tag `{tag}`; its tags: {known}{}", self.without_tag()?)
    }

    /// The manifest of a layout that holds only one.
    fn only_manifest(&self) -> anyhow::Result<RawManifest> {
        let dir = self.reference.dir.display();
        let mut all: Vec<Value> = Vec::new();
        for entry in self.own_entries()? {
            if all.iter().all(|known| known["digest"] != entry["digest"]) {
                all.push(entry);
            }
        }
        match all.as_slice() {
            [entry] => self.announced(entry),
            [] => bail!("`{dir}` holds no manifest; push to it first"),
            several => bail!("`{dir}` holds {} manifests; name one by its tag: {}:TAG", several.len(), self.named()),
        }
    }

    /// The entries of the index, without those that are attached to others.
    fn own_entries(&self) -> anyhow::Result<Vec<Value>> {
        let index = self.index()?;
        let is_attached = |entry: &&Value| {
            entry["annotations"][TAG].is_null()
                && digest_of(entry)
                    .and_then(|digest| self.read_manifest(&digest))
                    .is_ok_and(|manifest| manifest.json()["subject"].is_object())
        };
        Ok(entries(&index).iter().filter(|entry| !is_attached(entry)).cloned().collect())
    }

    /// What to say of manifests without a tag, as the end of a sentence; nothing if there are none.
    ///
    /// # Errors
    /// When the directory is not a layout.
    pub(crate) fn without_tag(&self) -> anyhow::Result<String> {
        let own = self.own_entries()?;
        let untagged: Vec<_> = own.iter().filter(|entry| entry["annotations"][TAG].is_null()).collect();
        let Some(first) = untagged.first().and_then(|entry| entry["digest"].as_str()) else {
            return Ok(String::new());
        };
        let (n, named, first) = (untagged.len(), self.named(), escape::one_line(first));
        Ok(format!("; without a tag there {} {n}: `{named}@{first}`", if n == 1 { "is" } else { "are" }))
    }

    /// The entry that a name stands for.
    ///
    /// # Errors
    /// When there are several.
    fn find<'a>(&self, index: &'a Value, tag: &str) -> anyhow::Result<Option<&'a Value>> {
        let found = named(entries(index), tag);
        if let Some(other) = found.iter().find(|other| other["digest"] != found[0]["digest"]) {
            bail!(
                "`{}` has several names with the tag `{tag}`, such as `{}`; give the whole name",
                self.reference.dir.display(),
                escape::one_line(other["annotations"][TAG].as_str().unwrap_or_default())
            );
        }
        Ok(found.first().copied())
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
            Name::Tag(tag) => match self.find(&self.index()?, tag)? {
                None => return Ok(None),
                Some(entry) => return self.announced(entry).map(Some),
            },
        };
        if matches!(name, Name::Digest(_)) && !self.has_blob(&digest) {
            return Ok(None);
        }
        self.read_manifest(&digest).map(Some)
    }

    /// Reads the manifest that an entry of the index announces.
    fn announced(&self, entry: &Value) -> anyhow::Result<RawManifest> {
        let digest = digest_of(entry).with_context(|| unreadable(&self.reference.dir))?;
        let manifest = self.read_manifest(&digest)?;
        layout_index::must_be(entry, &manifest, &self.reference.dir)?;
        Ok(manifest)
    }

    /// Opens a blob; its digest is verified.
    ///
    /// # Errors
    /// When the layout does not hold it.
    pub(crate) fn blob(&self, digest: &Digest) -> anyhow::Result<Content> {
        let path = self.blob_path(digest);
        let is_odd = path.metadata().is_ok_and(|found| !found.is_file());
        let shown = self.shown(&path);
        ensure!(!is_odd, "{shown} is no regular file; push or copy to the layout again");
        let content = File::open(&path).and_then(Content::of_file).with_context(|| {
            format!(
                "`{}` does not hold {digest}; check the digest, or push or copy to it again",
                self.reference.dir.display()
            )
        })?;
        let actual = content.digest().with_context(|| unreadable(&self.reference.dir))?;
        ensure!(actual == *digest, "{shown} is damaged: wrong digest {actual}; push or copy to it again");
        Ok(content)
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
                self.put_blob(&digest, &blob.content)?;
                written = true;
            }
        }
        let manifest = RawManifest::new(artifact.media_type, artifact.manifest.clone());
        let tag = self.reference.tag.as_deref().context("a push needs a tag")?;
        Ok(self.put(&manifest, Some(tag))? || written)
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to.
    pub(crate) fn put_blob(&self, digest: &Digest, content: &Content) -> anyhow::Result<()> {
        self.prepare()?;
        let mut file = NewFile::new(&self.blob_path(digest))?;
        let mut hasher = Hasher::default();
        content.each(|piece| {
            hasher.push(piece);
            file.write_all(piece)
        })?;
        ensure!(hasher.finish() == *digest, "what is to be {digest} was changed while it was read; try again");
        file.keep()
    }

    /// Writes a manifest, either under a tag or only as a blob for others to refer to. Returns whether anything was
    /// written.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written to; the tag is then unchanged.
    pub(crate) fn put(&self, manifest: &RawManifest, tag: Option<&str>) -> anyhow::Result<bool> {
        let mut written = false;
        if !self.has_blob(&manifest.digest) {
            self.put_blob(&manifest.digest, &manifest.bytes.clone().into())?;
            written = true;
        }
        let Some(tag) = tag else { return Ok(written) };
        let changed = self.change_index(|entries| retag(entries, manifest, tag))?;
        Ok(changed || written)
    }

    /// Writes a manifest under a tag, if the tag still names `before`. Returns whether it did.
    ///
    /// # Errors
    /// As [`Layout::put`].
    pub(crate) fn replace(&self, manifest: &RawManifest, tag: &str, before: Option<&Digest>) -> anyhow::Result<bool> {
        self.put(manifest, None)?;
        let mut holds = false;
        self.change_index(|entries| {
            holds = named(entries, tag).first().and_then(|entry| entry["digest"].as_str())
                == before.map(ToString::to_string).as_deref();
            holds && retag(entries, manifest, tag)
        })?;
        Ok(holds)
    }

    /// Removes a tag, or all entries of a digest. Blobs stay. Returns how many entries there were.
    ///
    /// # Errors
    /// When the directory is not a layout, or cannot be written to.
    pub(crate) fn delete(&self, name: Name<'_>) -> anyhow::Result<usize> {
        let mut removed = 0;
        let is_meant = |entry: &Value| match name {
            Name::Tag(tag) => entry["annotations"][TAG] == tag,
            Name::Digest(digest) => entry["digest"] == digest.to_string(),
        };
        self.change_index(|entries| {
            let before = entries.len();
            entries.retain(|entry| !is_meant(entry));
            removed = before - entries.len();
            removed > 0
        })?;
        Ok(removed)
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
        self.root().join("oci-layout").exists()
    }

    /// Whether the directory does not exist yet or is empty.
    fn is_new(&self) -> anyhow::Result<bool> {
        let dir = self.root();
        Ok(!dir.exists() || dir.read_dir().with_context(|| unreadable(&self.reference.dir))?.next().is_none())
    }

    /// Keeps other programs of this kind from changing the layout until what is returned is dropped.
    fn lock(&self) -> anyhow::Result<Option<File>> {
        // Of the files in it, each may be replaced; the directory stays.
        let Ok(dir) = File::open(self.root()) else { return Ok(None) };
        match dir.lock() {
            Ok(()) => Ok(Some(dir)),
            // Some network file systems know no locks.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => Ok(None),
            Err(_) if cfg!(not(unix)) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot lock `{}`", self.reference.dir.display())),
        }
    }

    /// Makes the directory a layout, if it is new or empty.
    fn prepare(&self) -> anyhow::Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let dir = self.root();
        let named = self.reference.dir.display();
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot create the directory `{named}`; choose another"))?;
        // Another program may be at it, or have been faster.
        let _lock = self.lock()?;
        if self.is_complete() {
            return Ok(());
        }
        ensure!(
            self.is_there() || self.is_new()?,
            "`{named}` is no OCI image layout and is not empty; give a new or empty directory"
        );
        if !self.is_there() {
            let version = json!({"imageLayoutVersion": layout_index::VERSION}).to_string();
            files::write(&dir.join("oci-layout"), version.as_bytes())?;
        }
        std::fs::create_dir_all(dir.join("blobs/sha256"))
            .with_context(|| format!("cannot create the directory `{named}`; choose another"))?;
        if !dir.join("index.json").exists() {
            let empty = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": []});
            files::write(&dir.join("index.json"), empty.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        let dir = self.root();
        self.is_there() && dir.join("blobs/sha256").is_dir() && dir.join("index.json").exists()
    }

    fn index(&self) -> anyhow::Result<Value> {
        let dir = &self.reference.dir;
        let (named, advice) = (dir.display(), "push to it first, or check the path");
        ensure!(self.archive.is_none() || dir.exists() || self.is_there(), "there is no archive `{named}`; {advice}");
        ensure!(self.root().is_dir(), "there is no directory `{named}`, nor an archive of this name; {advice}");
        if !self.is_complete() {
            // Another program may be making it.
            drop(self.lock()?);
        }
        ensure!(self.is_there(), "`{}` is no OCI image layout: it has no file `oci-layout`", dir.display());
        layout_index::read(self.root(), dir)
    }

    /// What the user would name it by, without a tag.
    fn named(&self) -> String {
        let kind = if self.archive.is_some() { "oci-archive" } else { "oci" };
        format!("{kind}:{}", self.reference.dir.display())
    }

    /// One of its files, as it is told; an archive is unpacked where nobody looks.
    fn shown(&self, path: &Path) -> String {
        match (&self.archive, path.strip_prefix(self.root())) {
            (Some(_), Ok(within)) => format!("`{}` in `{}`", within.display(), self.reference.dir.display()),
            _ => format!("`{}`", path.display()),
        }
    }

    /// Changes the entries of `index.json`. The closure returns whether there is anything to write.
    fn change_index(&self, change: impl FnOnce(&mut Vec<Value>) -> bool) -> anyhow::Result<bool> {
        self.prepare()?;
        let dir = &self.reference.dir;
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let entries = index.get_mut("manifests").and_then(Value::as_array_mut).with_context(|| unreadable(dir))?;
        if !change(entries) {
            return Ok(false);
        }
        files::write(&self.root().join("index.json"), &serde_json::to_vec(&index)?)?;
        // What makes an artifact visible is written last, so the archive is now whole.
        self.archive.as_ref().map_or(Ok(()), Unpacked::pack)?;
        Ok(true)
    }

    fn read_manifest(&self, digest: &Digest) -> anyhow::Result<RawManifest> {
        let content = self.blob(digest)?;
        ensure!(content.size() <= MOST_MANIFEST, "{digest} is no manifest: it has {} bytes", content.size());
        Ok(RawManifest::received(None, content.into_bytes()?))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.hex())
    }
}

/// Points a tag to a manifest. Returns whether that changed anything.
fn retag(entries: &mut Vec<Value>, manifest: &RawManifest, tag: &str) -> bool {
    let is_tagged = |old: &Value| old["annotations"][TAG] == tag;
    if entries.iter().any(|old| is_tagged(old) && old["digest"] == manifest.digest.to_string()) {
        return false;
    }
    entries.retain(|old| !is_tagged(old));
    entries.push(json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "annotations": {TAG: tag},
    }));
    true
}

/// The entries that a name stands for: the one of that name, else those whose name is a whole reference with that tag,
/// as skopeo and crane write it.
fn named<'a>(all: &'a [Value], tag: &str) -> Vec<&'a Value> {
    let name = |entry: &'a Value| entry["annotations"][TAG].as_str();
    match all.iter().find(|entry| name(entry) == Some(tag)) {
        Some(entry) => vec![entry],
        None => all.iter().filter(|entry| name(entry).and_then(tag_of) == Some(tag)).collect(),
    }
}

/// The tag in a whole reference: what follows its last colon, if that is not the registry's port.
fn tag_of(name: &str) -> Option<&str> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

fn digest_of(entry: &Value) -> anyhow::Result<Digest> {
    Ok(entry["digest"].as_str().unwrap_or_default().parse()?)
}

fn unreadable(dir: &Path) -> String {
    format!("cannot read the layout `{}`", dir.display())
}
