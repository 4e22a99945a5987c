//! `faultline manifest get`: prints an artifact's own manifest, as it is stored.

use clap::Args;

use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::store::Store;
use crate::store::platform::Platform;
use crate::terminal::output;

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints the OCI manifest, or index, byte for byte as it is stored, so that `sha256sum` gives its digest. (`faultline \
manifest REF` writes the mesh's manifest.)

Examples:
  faultline manifest get ghcr.io/acme/faultline:0.1.0 | jq .layers
  faultline manifest get oci:out:0.1.0 | sha256sum";

/// `faultline manifest get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Of an index, the manifest of the image for this platform.
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Prints the manifest.
///
/// # Errors
/// When there is no such artifact.
pub(crate) async fn run(args: Get) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let store = Store::open(&reference, &args.transport.access())?;
    let manifest = match &args.platform {
        Some(platform) => {
            let child = store.resolve_for(&reference, platform).await?.digest;
            store.manifest(Some(&child)).await?
        }
        None => store.manifest(reference.digest()).await?,
    };
    output::bytes(&manifest.bytes)?;
    Ok(Outcome::Done)
}
