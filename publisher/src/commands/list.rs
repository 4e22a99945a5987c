//! `faultline list`: lists the tags of a repository, oldest version first.
//!
//! Tags that only name a digest (`sha256-….sig` and so on) belong to other artifacts: signatures and lists of
//! attachments. They are left out unless the user asks for them.

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use crate::commands::options::{Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::reference::Reference;
use crate::reference::version_order::order;
use crate::store::Store;
use crate::terminal::escape;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints one tag a line: versions in their order, then all others by name.

Examples:
  faultline list ghcr.io/acme/faultline
  faultline list ghcr.io/acme/faultline --all --output json
  faultline list oci:out";

/// `faultline list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// registry/repo, or oci:DIR.
    #[arg(value_name = "REPO")]
    pub(crate) repository: String,
    /// Also tags that only name a digest: signatures and what is attached.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Lists the tags of a repository.
///
/// # Errors
/// When there is no such repository, or it cannot be listed.
pub(crate) async fn run(args: List, format: Format) -> anyhow::Result<Outcome> {
    let repository = repository(&args.repository)?;
    let store = Store::open(&repository, &args.transport.access())?;
    let mut tags = store.tags().await?;
    tags.retain(|tag| args.all || !names_digest(tag));
    tags.sort_by(|a, b| order(a, b));
    tags.dedup();
    if let Some(untagged) = store.without_tag()? {
        output::note(&untagged);
    }
    match format {
        Format::Text if tags.is_empty() => output::note(&format!("`{}` has no tags", args.repository)),
        Format::Text => output::result(&tags.iter().map(|tag| escape::one_line(tag)).collect::<Vec<_>>().join("\n"))?,
        Format::Json => output::json(&json!({"repository": args.repository, "tags": tags}))?,
    }
    Ok(Outcome::Done)
}

/// Parses REPO. It is a REF without its tag, so any tag serves to complete it.
fn repository(text: &str) -> Result<Reference, WrongUsage> {
    match text.parse::<Reference>() {
        Ok(layout @ Reference::Layout(_)) if layout.tag().is_none() && layout.digest().is_none() => return Ok(layout),
        Ok(whole) => return Err(WrongUsage(anyhow!("`{whole}` has a tag or digest; write registry/repo or oci:DIR"))),
        Err(_) => {}
    }
    // The error shows the text as typed, without the tag added here.
    let reference = format!("{text}:any").parse::<Reference>().map_err(|error| WrongUsage(error.about(text).into()))?;
    if let Reference::Registry(registry) = &reference
        && reference.completes(text)
    {
        output::note(&format!("note: `{text}` is read as `{}/{}`", registry.authority, registry.repository));
    }
    Ok(reference)
}

fn names_digest(tag: &str) -> bool {
    let hex = tag.strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_that_name_a_digest_are_left_out() {
        let hex = "a".repeat(64);
        assert!(names_digest(&format!("sha256-{hex}")) && names_digest(&format!("sha256-{hex}.sig")));
        assert!(!names_digest("sha256-abc") && !names_digest("1.0") && !names_digest(&format!("sha512-{hex}")));
    }

    #[test]
    fn a_repository_is_named_without_a_tag() {
        for good in ["ghcr.io/a/b", "localhost:5000/a", "oci:out", "oci:/srv/out"] {
            assert!(repository(good).is_ok(), "{good}");
        }
        for bad in ["ghcr.io/a/b:1", "oci:out:1", "ghcr.io", "", "https://ghcr.io/a"] {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }
}
