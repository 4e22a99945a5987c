//! Artifact stores (registries and layout directories) behind one interface, and the resolution of a REF to the single
//! image that a mesh would run.
//!
//! Manifests are passed on byte for byte, because the digest of the bytes identifies them.

pub(crate) mod attachments;
pub(crate) mod copy;
mod layout;
mod layout_archive;
mod layout_index;
pub(crate) mod manifest;
mod pipe;
pub(crate) mod platform;
pub(crate) mod registry;

use std::io::{BufRead, Write};

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use oci_distribution::manifest::{OciDescriptor, OciImageManifest, OciManifest};

use crate::artifact::form::{self, Form, ImageError, Rest};
use crate::artifact::pack::Artifact;
use crate::content::Content;
use crate::module::MAX_SIZE;
use crate::module::scan::{Scan, Scanned};
use crate::reference::Reference;
use crate::reference::digest::Digest;
use layout::Layout;
use manifest::{Name, RawManifest, Referrers};
use pipe::Pipe;
use platform::{Platform, platforms};
use registry::Registry;
use registry::access::Access;

/// A store of artifacts.
pub(crate) enum Store {
    /// A registry's repository.
    Registry(Box<Registry>),
    /// A layout directory.
    Layout(Layout),
}

/// The image that a REF stands for.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The digest of the image's own manifest, with which a mesh compares.
    pub(crate) digest: Digest,
    /// The digest of the index, if the REF names one.
    pub(crate) index: Option<Digest>,
    /// Size of the manifest in bytes.
    pub(crate) size: usize,
    /// The manifest.
    pub(crate) manifest: OciImageManifest,
}

/// A module out of a layer.
pub(crate) struct Extracted<W> {
    /// The module.
    pub(crate) scanned: Scanned,
    /// How what follows it in the layer reads.
    pub(crate) rest: Rest,
    /// Where it was written to.
    pub(crate) to: W,
}

impl Store {
    /// Opens the store that a REF names. Only credentials are read yet; nothing is sent.
    ///
    /// # Errors
    /// When credentials or certificates cannot be read.
    pub(crate) fn open(reference: &Reference, access: &Access) -> anyhow::Result<Self> {
        Ok(match reference {
            Reference::Registry(r) => Self::Registry(Box::new(Registry::open(r.clone(), access)?)),
            Reference::Layout(l) => Self::Layout(Layout::open(l.clone())?),
        })
    }

    /// Why Istio's agent cannot pull from this store, as far as the answers to the requests so far tell. Of a layout
    /// directory nothing is known: the artifact will be pulled from elsewhere.
    pub(crate) fn istio_warnings(&self) -> Vec<String> {
        match self {
            Self::Registry(registry) => registry.istio_warnings(),
            Self::Layout(_) => Vec::new(),
        }
    }

    /// Finds the image. An index is followed to its child for linux/amd64, as a mesh does whatever its nodes are.
    ///
    /// # Errors
    /// When it does not exist, or is not an image.
    pub(crate) async fn resolve(&self, reference: &Reference) -> anyhow::Result<Resolved> {
        self.resolve_for(reference, &Platform::default()).await
    }

    /// Finds the image for a platform. An index is followed to its child for it.
    ///
    /// # Errors
    /// When it does not exist, or is not an image.
    pub(crate) async fn resolve_for(&self, reference: &Reference, platform: &Platform) -> anyhow::Result<Resolved> {
        let RawManifest { bytes, digest, .. } = self.manifest(reference.digest()).await?;
        let index = match parse(&bytes, reference)? {
            OciManifest::Image(manifest) => return Ok(Resolved { digest, index: None, size: bytes.len(), manifest }),
            OciManifest::ImageIndex(index) => index,
        };
        let Some(child) = index.manifests.iter().find(|entry| platform.is_of(entry)) else {
            let why = if *platform == Platform::default() { ", the only one that a mesh asks for" } else { "" };
            bail!("`{reference}` is an index without an image for {platform}{why}; it has {}", platforms(&index));
        };
        let announced = child.size;
        let child = child.digest.parse::<Digest>().with_context(|| format!("the index `{reference}` is malformed"))?;
        let RawManifest { bytes, .. } = self.manifest(Some(&child)).await?;
        ensure_size(announced, bytes.len() as u64, &child)?;
        match parse(&bytes, reference)? {
            OciManifest::Image(manifest) => {
                Ok(Resolved { digest: child, index: Some(digest), size: bytes.len(), manifest })
            }
            OciManifest::ImageIndex(_) => bail!("`{reference}` is an index of indexes, which no mesh follows"),
        }
    }

    /// Fetches the manifest that the REF names, or the one with this digest.
    ///
    /// # Errors
    /// When it does not exist, or cannot be read.
    pub(crate) async fn manifest(&self, digest: Option<&Digest>) -> anyhow::Result<RawManifest> {
        match self {
            Self::Registry(registry) => Ok(registry.manifest(digest).await?),
            Self::Layout(layout) => layout.manifest(digest),
        }
    }

    /// The manifest or index that a REF names, which is the subject of signatures and attached documents.
    ///
    /// # Errors
    /// When it does not exist.
    pub(crate) async fn named(&self, reference: &Reference) -> anyhow::Result<RawManifest> {
        let Some(name) = Name::of(reference.tag(), reference.digest()) else { return self.manifest(None).await };
        self.fetch(name)
            .await?
            .with_context(|| format!("`{reference}` is not there; check tag and digest, or push it first"))
    }

    /// The same store, requesting write access with the first token, which saves a second one.
    pub(crate) fn for_writing(self) -> Self {
        if let Self::Registry(registry) = &self {
            registry.for_writing();
        }
        self
    }

    /// Fetches a manifest and verifies its digest; `None` if there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn fetch(&self, name: Name<'_>) -> anyhow::Result<Option<RawManifest>> {
        match self {
            Self::Registry(registry) => Ok(registry.fetch(name).await?),
            Self::Layout(layout) => layout.fetch(name),
        }
    }

    /// The digest of a manifest; `None` if there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn head(&self, name: Name<'_>) -> anyhow::Result<Option<Digest>> {
        match self {
            Self::Registry(registry) => Ok(registry.head(name).await?),
            Self::Layout(layout) => Ok(layout.fetch(name)?.map(|manifest| manifest.digest)),
        }
    }

    /// Stores a manifest under a tag if the tag still names `before`. Returns whether it did. In a registry another
    /// program can get in between: its API has no conditional writes. Who must not lose anything looks again after
    /// [`Store::settle`].
    ///
    /// # Errors
    /// As [`Store::put`].
    pub(crate) async fn replace(
        &self,
        manifest: &RawManifest,
        tag: &str,
        before: Option<&Digest>,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Registry(registry) => {
                let holds = registry.head(Name::Tag(tag)).await?.as_ref() == before;
                if holds {
                    registry.put(manifest, Some(tag)).await?;
                }
                Ok(holds)
            }
            Self::Layout(layout) => {
                interruptible().await;
                layout.replace(manifest, tag, before)
            }
        }
    }

    /// Stores a manifest, under a tag or by its digest alone.
    ///
    /// # Errors
    /// When the store does not accept it; the tag is then unchanged.
    pub(crate) async fn put(&self, manifest: &RawManifest, tag: Option<&str>) -> anyhow::Result<()> {
        match self {
            Self::Registry(registry) => registry.put(manifest, tag).await.map(drop).map_err(Into::into),
            Self::Layout(layout) => {
                interruptible().await;
                layout.put(manifest, tag).map(drop)
            }
        }
    }

    /// Whether the store has a blob of this size in bytes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn has_blob(&self, digest: &Digest, size: i64) -> anyhow::Result<bool> {
        match self {
            Self::Registry(registry) => Ok(registry.has_blob(digest, size).await?),
            Self::Layout(layout) => Ok(layout.blob(digest).is_ok_and(|blob| u64::try_from(size) == Ok(blob.size()))),
        }
    }

    /// Stores a blob without checking first whether the store has it.
    ///
    /// # Errors
    /// When the store does not accept it.
    pub(crate) async fn put_blob(&self, digest: &Digest, content: &Content, bar: &ProgressBar) -> anyhow::Result<()> {
        match self {
            Self::Registry(registry) => Ok(registry.put_blob(digest, content, bar).await?),
            Self::Layout(layout) => {
                interruptible().await;
                layout.put_blob(digest, content)
            }
        }
    }

    /// All tags.
    ///
    /// # Errors
    /// When the store does not list them.
    pub(crate) async fn tags(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Registry(registry) => Ok(registry.tags().await?),
            Self::Layout(layout) => layout.tags(),
        }
    }

    /// What to tell of manifests without a tag, which a layout can hold.
    ///
    /// # Errors
    /// When the layout cannot be read.
    pub(crate) fn without_tag(&self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Registry(_) => Ok(None),
            Self::Layout(layout) => {
                let untagged = layout.without_tag()?;
                Ok(untagged.strip_prefix("; ").map(|text| format!("note: {text}")))
            }
        }
    }

    /// What is attached to a manifest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn referrers(&self, subject: &Digest) -> anyhow::Result<Referrers> {
        match self {
            Self::Registry(registry) => Ok(registry.referrers(subject).await?),
            Self::Layout(layout) => layout.referrers(subject),
        }
    }

    /// Stores a manifest that has a `subject`, so that the subject's [`Store::referrers`] include it.
    ///
    /// # Errors
    /// When it has no subject, or cannot be stored.
    pub(crate) async fn attach(&self, manifest: &RawManifest) -> anyhow::Result<()> {
        let subject = manifest.json()["subject"]["digest"].as_str().map(str::parse::<Digest>);
        let subject = subject.context("what is to be attached has no subject")?.context("its subject is malformed")?;
        match self {
            Self::Registry(registry) => Ok(registry.attach(manifest, &subject).await?),
            Self::Layout(layout) => {
                interruptible().await;
                layout.attach(manifest)
            }
        }
    }

    /// Waits until what others were writing at the same time is there. Returns whether anything can have been
    /// overwritten: a layout is locked.
    pub(crate) async fn settle(&self) -> bool {
        match self {
            Self::Registry(registry) => {
                registry.settle().await;
                true
            }
            Self::Layout(_) => false,
        }
    }

    /// Looks again whether everything that [`Store::attach`] listed is still listed, and lists it again if another
    /// program has overwritten the list meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read or written to.
    pub(crate) async fn confirm_attached(&self) -> anyhow::Result<()> {
        match self {
            Self::Registry(registry) => Ok(registry.confirm_attached().await?),
            Self::Layout(_) => Ok(()),
        }
    }

    /// Fetches a small blob into memory, and verifies its size and digest.
    ///
    /// # Errors
    /// As [`Store::content`].
    pub(crate) async fn blob(&self, descriptor: &OciDescriptor, bar: &ProgressBar) -> anyhow::Result<Vec<u8>> {
        Ok(self.content(descriptor, bar).await?.into_bytes()?)
    }

    /// Fetches a blob, and verifies its size and digest.
    ///
    /// # Errors
    /// When the blob does not exist or does not match its descriptor.
    pub(crate) async fn content(&self, descriptor: &OciDescriptor, bar: &ProgressBar) -> anyhow::Result<Content> {
        // Parsed here, so that no store is ever asked for something that is not a digest.
        let digest = descriptor.digest.parse::<Digest>().context("the manifest is malformed")?;
        match self {
            Self::Registry(registry) => registry.blob(descriptor, &digest, bar).await,
            Self::Layout(layout) => {
                interruptible().await;
                let blob = layout.blob(&digest)?;
                ensure_size(descriptor.size, blob.size(), &digest)?;
                Ok(blob)
            }
        }
    }

    /// Fetches a layer and reads the module in it while it comes, into what `begin` makes for each attempt. What was
    /// written counts only if this succeeds.
    ///
    /// # Errors
    /// When the layer cannot be fetched, or the module not be written. That the layer holds no module is the inner
    /// error.
    pub(crate) async fn module<W: Write + Send + 'static>(
        &self,
        form: Form,
        layer: &OciDescriptor,
        bar: &ProgressBar,
        mut begin: impl FnMut() -> anyhow::Result<W>,
    ) -> anyhow::Result<Result<Extracted<W>, ImageError>> {
        // No module is smaller than its archive, so what is larger than a mesh unpacks need not be fetched.
        if layer.size.unsigned_abs() > MAX_SIZE {
            return Ok(Err(ImageError::TooLarge));
        }
        let read = match self {
            Self::Registry(registry) => {
                let digest = layer.digest.parse::<Digest>().context("the manifest is malformed")?;
                let begin = || {
                    let to = begin()?;
                    Ok(Pipe::new(move |from| read_module(form, from, to)))
                };
                registry.blob_into(layer, &digest, bar, begin).await?.finish()?
            }
            Self::Layout(_) => read_module(form, self.content(layer, bar).await?.reader()?, begin()?),
        };
        bar.finish_and_clear();
        Ok(read?)
    }

    /// Removes a tag, or a manifest by its digest with all its tags.
    ///
    /// # Errors
    /// When it is not there, or the store does not allow it.
    pub(crate) async fn delete(&self, name: Name<'_>) -> anyhow::Result<()> {
        match self {
            Self::Registry(registry) => Ok(registry.delete(name).await?),
            Self::Layout(layout) => {
                ensure!(layout.delete(name)? > 0, "the layout names no such manifest; `faultline list` shows its tags");
                Ok(())
            }
        }
    }

    /// Publishes an artifact. Returns whether anything was sent or written.
    ///
    /// # Errors
    /// When the store does not accept it; the tag is then unchanged.
    pub(crate) async fn push(&self, artifact: &Artifact, bar: &ProgressBar) -> anyhow::Result<bool> {
        match self {
            Self::Registry(registry) => registry.push(artifact, bar).await,
            Self::Layout(layout) => {
                interruptible().await;
                layout.push(artifact)
            }
        }
    }
}

/// A point where Ctrl-C can interrupt: between two files, never within one. Registry requests can be interrupted
/// anyway.
async fn interruptible() {
    tokio::task::yield_now().await;
}

fn read_module<W: Write>(
    form: Form,
    layer: impl BufRead,
    mut to: W,
) -> std::io::Result<Result<Extracted<W>, ImageError>> {
    let mut scan = Scan::new();
    let rest = form::extract(form, layer, |piece| {
        scan.push(piece);
        to.write_all(piece)
    })?;
    Ok(rest.map(|rest| Extracted { scanned: scan.finish(), rest, to }))
}

fn parse(bytes: &[u8], reference: &Reference) -> anyhow::Result<OciManifest> {
    serde_json::from_slice(bytes)
        .with_context(|| format!("`{reference}` is no OCI or Docker image: its manifest cannot be read; push it again"))
}

/// Checks the size that a descriptor announces (image specification: content of another size should not be trusted).
///
/// # Errors
/// When the content has another size.
fn ensure_size(announced: i64, actual: u64, digest: &Digest) -> anyhow::Result<()> {
    ensure!(
        u64::try_from(announced) == Ok(actual),
        "wrong size: the descriptor of {digest} announces {announced} bytes, it has {actual}; do not use it, and push \
         it again"
    );
    Ok(())
}
