//! `faultline push`: check the module, pack it, publish it.

use anyhow::{Context, bail};
use serde_json::json;

use crate::artifact::{self, Artifact};
use crate::cli::{self, Push};
use crate::module::Module;
use crate::output::{self, Format};
use crate::reference::Reference;
use crate::store::Store;
use crate::{Outcome, progress};

mod embedded {
    // `MODULE: Option<&[u8]>`, the module this program was built with.
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Runs it.
///
/// # Errors
/// When the module is no plugin, or the store does not take it.
pub async fn run(args: Push, format: Format) -> anyhow::Result<Outcome> {
    let reference = cli::reference(&args.reference)?;
    let (module, origin) = module(&args)?;
    Module::read(&module).and_then(|m| m.startable()).with_context(|| origin.clone())?;
    let created = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(value) => Some(artifact::source_date_epoch(&value)?),
        Err(_) => None,
    };
    let artifact = artifact::build(&module, &args.annotations.iter().cloned().collect(), created)?;
    if let Some(expected) = reference.digest().filter(|digest| **digest != artifact.digest) {
        bail!(
            "{origin} packs to {}, not to the {expected} of `{reference}`; leave the digest off, or give the module it was made of",
            artifact.digest
        );
    }
    let store = Store::open(&reference, &args.transport)?;
    let bar = progress::bytes("uploading", artifact.layer.bytes.len() as u64);
    let sent = store.push(&artifact, &bar).await?;
    bar.finish_and_clear();
    report(&reference, &artifact, sent, format)
}

/// The bytes to publish, and what to call them in an error.
fn module(args: &Push) -> anyhow::Result<(Vec<u8>, String)> {
    match (&args.wasm, embedded::MODULE) {
        (Some(path), _) => {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read the module `{}`", path.display()))?;
            Ok((bytes, format!("module `{}`", path.display())))
        }
        (None, Some(bytes)) => Ok((bytes.to_vec(), "the module this program was built with".to_owned())),
        (None, None) => bail!(
            "this program was built without a module; give one with --wasm FILE, or run `cargo xtask build` and build again"
        ),
    }
}

fn report(reference: &Reference, artifact: &Artifact, sent: bool, format: Format) -> anyhow::Result<Outcome> {
    let pinned = reference.with_digest(&artifact.digest).to_string();
    let size = artifact.manifest.len() + artifact.config.bytes.len() + artifact.layer.bytes.len();
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": artifact.digest,
            "mediaType": artifact::MANIFEST_TYPE,
            "size": size,
            "unchanged": !sent,
        }))?,
    }
    let size = output::size(size as u64);
    output::note(&if sent { format!("pushed {size}") } else { "it is there already; nothing was sent".to_owned() });
    Ok(Outcome::Done)
}
