//! `faultline digest`: prints the digest that a tag stands for.

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::store::Store;
use crate::store::manifest::Name;
use crate::store::platform::Platform;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints sha256:… of the manifest, or of the index if the tag names one; a mesh compares with the digest of the image in \
it, which --platform linux/amd64 prints.

Examples:
  faultline digest ghcr.io/acme/faultline:0.1.0
  faultline digest ghcr.io/acme/faultline:0.1.0 --platform linux/amd64
  faultline digest oci:out:0.1.0";

/// `faultline digest`
#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Of an index, the digest of the image for this platform.
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Prints the digest. Without a platform, nothing is fetched.
///
/// # Errors
/// When there is no such artifact.
pub(crate) async fn run(args: Digest, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let store = Store::open(&reference, &args.transport.access())?;
    let digest = match &args.platform {
        Some(platform) => store.resolve_for(&reference, platform).await?.digest,
        None => match Name::of(reference.tag(), reference.digest()) {
            Some(name) => store
                .head(name)
                .await?
                .with_context(|| format!("`{reference}` is not there; check tag and digest, or push it first"))?,
            None => store.manifest(None).await?.digest,
        },
    };
    match format {
        Format::Text => output::result(&digest.to_string())?,
        Format::Json => output::json(&json!({
            "reference": reference.with_digest(&digest).to_string(),
            "digest": digest,
        }))?,
    }
    Ok(Outcome::Done)
}
