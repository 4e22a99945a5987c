//! Where artifacts live, a registry or a layout directory, seen as one thing; and how a REF becomes the one image that a mesh
//! would run.

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use oci_distribution::manifest::{ImageIndexEntry, OciDescriptor, OciImageManifest, OciManifest};

use crate::artifact::Artifact;
use crate::cli::Transport;
use crate::digest::Digest;
use crate::layout::Layout;
use crate::reference::Reference;
use crate::registry::Registry;

/// A place that holds artifacts.
pub enum Store {
    /// A registry's repository.
    Registry(Box<Registry>),
    /// A layout directory.
    Layout(Layout),
}

/// The image that a REF stands for.
#[derive(Debug)]
pub struct Resolved {
    /// The digest of the image's own manifest: what a mesh compares with.
    pub digest: Digest,
    /// The digest of the index that the REF names, where it names one.
    pub index: Option<Digest>,
    /// Bytes of the manifest.
    pub size: usize,
    /// The manifest.
    pub manifest: OciImageManifest,
}

impl Store {
    /// Opens the place that a REF names; nothing is read or sent yet, but credentials.
    ///
    /// # Errors
    /// When credentials or certificates cannot be read.
    pub fn open(reference: &Reference, transport: &Transport) -> anyhow::Result<Self> {
        Ok(match reference {
            Reference::Registry(r) => Self::Registry(Box::new(Registry::open(r.clone(), transport)?)),
            Reference::Layout(l) => Self::Layout(Layout { reference: l.clone() }),
        })
    }

    /// Finds the image. An index is followed to its child for linux/amd64, as a mesh does whatever its nodes are.
    ///
    /// # Errors
    /// When it is not there, or is no image.
    pub async fn resolve(&self, reference: &Reference) -> anyhow::Result<Resolved> {
        let (bytes, digest) = self.manifest(reference.digest()).await?;
        let index = match parse(&bytes, reference)? {
            OciManifest::Image(manifest) => return Ok(Resolved { digest, index: None, size: bytes.len(), manifest }),
            OciManifest::ImageIndex(index) => index,
        };
        let Some(child) = index.manifests.iter().find(|entry| is_linux_amd64(entry)) else {
            bail!("`{reference}` is an index without an image for linux/amd64, the only one that a mesh asks for");
        };
        let child = child.digest.parse::<Digest>().with_context(|| format!("the index `{reference}` is malformed"))?;
        let (bytes, child) = self.manifest(Some(&child)).await?;
        match parse(&bytes, reference)? {
            OciManifest::Image(manifest) => {
                Ok(Resolved { digest: child, index: Some(digest), size: bytes.len(), manifest })
            }
            OciManifest::ImageIndex(_) => bail!("`{reference}` is an index of indexes, which no mesh follows"),
        }
    }

    async fn manifest(&self, digest: Option<&Digest>) -> anyhow::Result<(Vec<u8>, Digest)> {
        match self {
            Self::Registry(registry) => Ok(registry.manifest(digest).await?),
            Self::Layout(layout) => layout.manifest(digest),
        }
    }

    /// Fetches a blob, verified.
    ///
    /// # Errors
    /// When it is not there or is not what was announced.
    pub async fn blob(&self, descriptor: &OciDescriptor, bar: &ProgressBar) -> anyhow::Result<Vec<u8>> {
        // Parsed here so that no store is ever asked for a name that is not a digest.
        descriptor.digest.parse::<Digest>().context("the manifest is malformed")?;
        match self {
            Self::Registry(registry) => Ok(registry.blob(descriptor, bar).await?),
            Self::Layout(layout) => layout.blob(descriptor),
        }
    }

    /// Publishes an artifact. Returns whether anything had to be sent or written.
    ///
    /// # Errors
    /// When it cannot be done; the tag is then where it was.
    pub async fn push(&self, artifact: &Artifact, bar: &ProgressBar) -> anyhow::Result<bool> {
        match self {
            Self::Registry(registry) => registry.push(artifact, bar).await,
            Self::Layout(layout) => layout.push(artifact),
        }
    }
}

fn parse(bytes: &[u8], reference: &Reference) -> anyhow::Result<OciManifest> {
    serde_json::from_slice(bytes)
        .with_context(|| format!("`{reference}` is no OCI or Docker image: its manifest cannot be read; push it again"))
}

/// A child without a platform counts as linux/amd64, as it does in a mesh.
fn is_linux_amd64(entry: &ImageIndexEntry) -> bool {
    entry.platform.as_ref().is_none_or(|p| p.os.to_string() == "linux" && p.architecture.to_string() == "amd64")
}
