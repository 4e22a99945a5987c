//! `faultline attach`: attaches a document, such as an SBOM, to an artifact.
//!
//! The document is a separate OCI artifact that names the other as its subject; registries list it among the subject's
//! referrers. It contains no time of day, so attaching the same document again changes nothing.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::artifact::form;
use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::module::embedded;
use crate::reference::Reference;
use crate::reference::digest::{Digest, Hasher};
use crate::store::{Store, attachments};
use crate::terminal::output::{self, Format};
use crate::terminal::progress;

/// The media type of the program's own SBOM.
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";

/// The end of the help.
pub(crate) const HELP: &str = "\
--sbom attaches the CycloneDX list of the crates in the module this program was built with; it is refused for another \
module. A registry that knows no referrers keeps them under the tag sha256-…, as oras and cosign do. Prints the \
document's reference.

Examples:
  faultline attach ghcr.io/acme/faultline:0.1.0 --sbom
  faultline attach ghcr.io/acme/faultline:0.1.0 scan.sarif --type application/sarif+json
  faultline inspect ghcr.io/acme/faultline:0.1.0";

/// `faultline attach`
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// To what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The document, with --type; `-` is standard input; or give --sbom.
    #[arg(value_name = "FILE|-", required_unless_present = "sbom", conflicts_with = "sbom", requires = "kind")]
    pub(crate) file: Option<PathBuf>,
    /// Its media type, such as application/spdx+json.
    #[arg(long = "type", value_name = "TYPE", value_parser = media_type, requires = "file")]
    pub(crate) kind: Option<String>,
    /// Attach the list of what is in the module this program was built with.
    #[arg(long)]
    pub(crate) sbom: bool,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Attaches a document, unless it is attached already.
///
/// # Errors
/// When there is no such artifact, the document does not describe it, or the store cannot be written.
pub(crate) async fn run(args: Attach, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let store = Store::open(&reference, &args.transport.access())?.for_writing();
    let subject = store.named(&reference).await?;
    let (title, kind, document) = match (&args.file, &args.kind) {
        (Some(path), Some(kind)) if path.as_os_str() == "-" => {
            ("document".to_owned(), kind.as_str(), options::stdin(args.transport.password_stdin)?.into_bytes()?)
        }
        (Some(path), Some(kind)) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read the document `{}`", path.display()))?;
            let title = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (title, kind.as_str(), bytes)
        }
        _ => ("faultline.cdx.json".to_owned(), CYCLONEDX, sbom(&store, &reference).await?),
    };
    let manifest = attachments::document_manifest(&subject, &title, kind, &document)?;
    // If the registry does not say what is attached, it is attached again, which changes nothing.
    let there = store.referrers(&subject.digest).await.unwrap_or_default();
    let unchanged = there.found.iter().any(|descriptor| descriptor.digest == manifest.digest.to_string());
    if !unchanged {
        for bytes in [document.as_slice(), attachments::EMPTY_CONFIG] {
            store.put_blob(&Digest::of(bytes), &bytes.to_vec().into(), &ProgressBar::hidden()).await?;
        }
        store.attach(&manifest).await?;
        store.confirm_attached().await?;
    }
    // The tag is the subject's, not the document's.
    let pinned = reference.untagged(&manifest.digest).to_string();
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

/// The SBOM that is built into this program, if the artifact holds the module that it describes.
async fn sbom(store: &Store, reference: &Reference) -> anyhow::Result<Vec<u8>> {
    let Some(document) = embedded::SBOM else {
        bail!(
            "this program was built without a list of components; run `cargo xtask build` and build it again, or \
                attach a FILE"
        );
    };
    let found = store.resolve(reference).await?;
    let (form, layer) = form::locate(&found.manifest).with_context(|| format!("`{reference}`"))?;
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let module = store.module(form, layer, &bar, || Ok(Hasher::default())).await??.to.finish();
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

fn media_type(text: &str) -> Result<String, String> {
    let allowed =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    match text.split_once('/') {
        Some((kind, name)) if allowed(kind) && allowed(name) => Ok(text.to_owned()),
        _ => Err("write a media type, such as application/spdx+json".to_owned()),
    }
}
