//! `faultline attach`: puts a document, such as the list of what a module is made of, beside an artifact.
//!
//! The document is an OCI artifact of its own that names the other as its subject; registries list such as its referrers. It holds
//! no time of day, so that attaching the same again changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;
use oci_distribution::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::sign::named;
use crate::signature::describe;
use crate::store::{Name, RawManifest, Store};
use crate::terminal::output::{self, Format};
use crate::terminal::progress;
use crate::{embedded, image};

/// The type of the program's own list of components.
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Examples and what is worth knowing.
pub const HELP: &str = "\
--sbom attaches the CycloneDX list of the crates in the module this program was built with; it is refused for another module. \
A registry that knows no referrers keeps them under the tag sha256-…, as oras and cosign do. Prints the document's reference.

Examples:
  faultline attach ghcr.io/acme/faultline:0.1.0 --sbom
  faultline attach ghcr.io/acme/faultline:0.1.0 scan.sarif --type application/sarif+json
  faultline inspect ghcr.io/acme/faultline:0.1.0";

/// `faultline attach`
#[derive(Debug, Args)]
pub struct Attach {
    /// To what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The document, with --type; or give --sbom.
    #[arg(value_name = "FILE", required_unless_present = "sbom", conflicts_with = "sbom", requires = "kind")]
    pub file: Option<PathBuf>,
    /// Its media type, such as application/spdx+json.
    #[arg(long = "type", value_name = "TYPE", value_parser = media_type, requires = "file")]
    pub kind: Option<String>,
    /// Attach the list of what is in the module this program was built with.
    #[arg(long)]
    pub sbom: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

/// Runs it.
///
/// # Errors
/// When there is no such artifact, the document is not about it, or the store not written.
pub async fn run(args: Attach, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let store = Store::open(&reference, &args.transport)?.for_writing();
    let subject = named(&store, &reference).await?;
    let (title, kind, document) = match (&args.file, &args.kind) {
        (Some(path), Some(kind)) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read the document `{}`", path.display()))?;
            let title = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (title, kind.as_str(), bytes)
        }
        _ => ("faultline.cdx.json".to_owned(), CYCLONEDX, sbom(&store, &reference).await?),
    };
    let manifest = document_manifest(&subject, &title, kind, &document)?;
    let there = store.referrers(&subject.digest).await?;
    let unchanged = there.iter().any(|descriptor| descriptor.digest == manifest.digest.to_string());
    if !unchanged {
        for bytes in [document.as_slice(), b"{}"] {
            store.put_blob(&Digest::of(bytes), bytes, &ProgressBar::hidden()).await?;
        }
        store.attach(&manifest).await?;
    }
    let pinned = reference.with_digest(&manifest.digest).to_string();
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": manifest.digest,
            "subject": subject.digest,
            "artifactType": kind,
            "size": document.len(),
            "unchanged": unchanged,
        }))?,
    }
    output::note(&if unchanged {
        "it is attached already; nothing was changed".to_owned()
    } else {
        format!("attached {title} ({kind}) to {}", subject.digest)
    });
    Ok(Outcome::Done)
}

fn document_manifest(subject: &RawManifest, title: &str, kind: &str, document: &[u8]) -> anyhow::Result<RawManifest> {
    let layer = OciDescriptor {
        annotations: Some(BTreeMap::from([("org.opencontainers.image.title".to_owned(), title.to_owned())])),
        ..describe(kind, document)
    };
    let manifest = serde_json::to_vec(&OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        artifact_type: Some(kind.to_owned()),
        config: describe(EMPTY, b"{}"),
        layers: vec![layer],
        subject: Some(subject.descriptor()),
        ..OciImageManifest::default()
    })?;
    Ok(RawManifest::new(OCI_IMAGE_MEDIA_TYPE, manifest))
}

/// The list of components this program was built with, if the artifact holds the module that it describes.
async fn sbom(store: &Store, reference: &Reference) -> anyhow::Result<Vec<u8>> {
    let Some(document) = embedded::SBOM else {
        bail!(
            "this program was built without a list of components; run `cargo xtask build` and build it again, or attach a FILE"
        );
    };
    let found = store.resolve(reference).await?;
    let (form, layer) = image::locate(&found.manifest).with_context(|| format!("`{reference}`"))?;
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let module = Digest::of(&image::extract(form, store.blob(layer, &bar).await?)?);
    bar.finish_and_clear();
    let content: Value = serde_json::from_slice(document).context("the list of components cannot be read")?;
    let described = content["metadata"]["component"]["hashes"][0]["content"].as_str().unwrap_or_default();
    if described != module.hex() {
        bail!(
            "`{reference}` holds the module {module}, and the list of components is that of sha256:{described}; \
             push the module this program was built with, or attach a FILE"
        );
    }
    Ok(document.to_vec())
}

/// A document that lies beside an artifact.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// What it is, a media type.
    pub artifact_type: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its manifest.
    pub size: i64,
}

/// What is attached to a manifest.
///
/// # Errors
/// When the store cannot be asked.
pub async fn list(store: &Store, subject: &Digest) -> anyhow::Result<Vec<Attached>> {
    let mut found = Vec::new();
    for descriptor in store.referrers(subject).await? {
        let kind = match descriptor.artifact_type {
            Some(kind) if kind != EMPTY => kind,
            // cosign 3 lists the type of its empty config; what it is shows in the document's own manifest.
            _ => document_type(store, &descriptor.digest.parse()?).await?.unwrap_or_else(|| "unknown".to_owned()),
        };
        found.push(Attached { artifact_type: kind, digest: descriptor.digest, size: descriptor.size });
    }
    Ok(found)
}

async fn document_type(store: &Store, digest: &Digest) -> anyhow::Result<Option<String>> {
    let Some(raw) = store.fetch(Name::Digest(digest)).await? else { return Ok(None) };
    let Ok(manifest) = serde_json::from_slice::<OciImageManifest>(&raw.bytes) else { return Ok(None) };
    Ok(manifest.artifact_type.or_else(|| manifest.layers.first().map(|layer| layer.media_type.clone())))
}

fn media_type(text: &str) -> Result<String, String> {
    let allowed =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    match text.split_once('/') {
        Some((kind, name)) if allowed(kind) && allowed(name) => Ok(text.to_owned()),
        _ => Err("write a media type, such as application/spdx+json".to_owned()),
    }
}
