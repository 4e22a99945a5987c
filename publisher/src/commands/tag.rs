//! `faultline tag`: adds tags to an artifact without fetching or sending its content.

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use crate::commands::options::{self, Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::reference::Reference;
use crate::store::Store;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints registry/repo:tag@sha256:… for each new tag. A tag that is there already is moved. An index keeps its children.

Examples:
  faultline tag ghcr.io/acme/faultline:0.1.0 0.1 latest
  faultline tag ghcr.io/acme/faultline:0.1.0@sha256:… stable
  faultline tag oci:out:0.1.0 0.1";

/// `faultline tag`
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// What is there: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The tags to give it too.
    #[arg(required = true, value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Adds the tags to an artifact, in the order in which they were typed.
///
/// # Errors
/// When there is no such artifact, or it cannot be tagged.
pub(crate) async fn run(args: Tag, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    // All tags are checked before the first is added.
    let named = args.tags.iter().map(|tag| retagged(&reference, tag)).collect::<Result<Vec<_>, _>>()?;
    let store = Store::open(&reference, &args.transport.access())?.for_writing();
    let manifest = store.manifest(reference.digest()).await?;
    let mut pinned = Vec::new();
    for (tag, name) in args.tags.iter().zip(named) {
        store.put(&manifest, Some(tag)).await?;
        pinned.push(name.with_digest(&manifest.digest).to_string());
    }
    match format {
        Format::Text => output::result(&pinned.join("\n"))?,
        Format::Json => output::json(&json!({
            "reference": reference.to_string(),
            "digest": manifest.digest,
            "mediaType": manifest.media_type,
            "tagged": pinned,
        }))?,
    }
    Ok(Outcome::Done)
}

fn retagged(reference: &Reference, tag: &str) -> Result<Reference, WrongUsage> {
    if tag.contains([':', '/']) {
        return Err(WrongUsage(anyhow!("`{tag}` is no tag; write only what follows the colon, such as 1.0")));
    }
    options::reference(&match reference {
        Reference::Registry(r) => format!("{}/{}:{tag}", r.authority, r.repository),
        Reference::Layout(l) => {
            format!("{}:{}:{tag}", if l.is_archive { "oci-archive" } else { "oci" }, l.dir.display())
        }
    })
}
