//! `faultline pull`: an artifact's module into a file, for whatever runs plugins from files.

use anyhow::{Context, ensure};
use serde_json::json;

use crate::cli::{self, Pull};
use crate::digest::Digest;
use crate::output::{self, Format};
use crate::store::Store;
use crate::{Outcome, files, image, progress};

/// Runs it.
///
/// # Errors
/// When there is no such artifact, no module in it, or the file cannot be written.
pub async fn run(args: Pull, format: Format) -> anyhow::Result<Outcome> {
    let reference = cli::reference(&args.reference)?;
    let file = &args.file;
    ensure!(!file.is_dir(), "`{}` is a directory; give the file to write", file.display());

    let store = Store::open(&reference, &args.transport)?;
    let image = store.resolve(&reference).await?;
    let (form, layer) = image::locate(&image.manifest).with_context(|| format!("`{reference}`"))?;
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let blob = store.blob(layer, &bar).await?;
    bar.finish_and_clear();
    let module = image::extract(form, blob).with_context(|| format!("`{reference}`"))?;
    files::write(file, &module)?;

    let pinned = reference.with_digest(&image.digest).to_string();
    match format {
        Format::Text => output::result(&format!("{} {}", file.display(), image.digest))?,
        Format::Json => output::json(&json!({
            "file": file,
            "reference": pinned,
            "digest": image.digest,
            "form": form,
            "module": {"size": module.len(), "digest": Digest::of(&module)},
        }))?,
    }
    output::note(&format!("pulled {} from {pinned}", output::size(module.len() as u64)));
    Ok(Outcome::Done)
}
