//! `faultline delete`: removes a tag, or a manifest.

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use crate::commands::options::{self, Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::store::Store;
use crate::store::manifest::Name;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
With a tag, the tag is removed and its manifest stays; some registries do not do that. With a digest, the manifest \
is removed, and with it all of its tags: proxies that start later cannot fetch it. What is attached stays. It is not \
asked whether you are sure.

Examples:
  faultline delete ghcr.io/acme/faultline:0.1.0-rc1
  faultline delete ghcr.io/acme/faultline@sha256:…
  faultline delete oci:out:0.1.0";

/// `faultline delete`
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// What: registry/repo:tag, registry/repo@digest or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Removes a tag or a manifest.
///
/// # Errors
/// When it is not there, both are named, or the store does not allow it.
pub(crate) async fn run(args: Delete, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let name = match (reference.tag(), reference.digest()) {
        (Some(tag), None) => Name::Tag(tag),
        (None, Some(digest)) => Name::Digest(digest),
        (Some(_), Some(_)) => {
            let why = anyhow!("`{reference}` names a tag and a digest: give the one that is to be removed");
            return Err(WrongUsage(why).into());
        }
        (None, None) => return Err(WrongUsage(anyhow!("`{reference}` names no tag and no digest; give one")).into()),
    };
    let store = Store::open(&reference, &args.transport.access())?.for_writing();
    store.delete(name).await?;
    let what = if matches!(name, Name::Tag(_)) { "tag" } else { "manifest" };
    match format {
        Format::Text => output::result(&reference.to_string())?,
        Format::Json => output::json(&json!({"reference": reference.to_string(), "deleted": what}))?,
    }
    output::note(&format!("deleted the {what}"));
    Ok(Outcome::Done)
}
