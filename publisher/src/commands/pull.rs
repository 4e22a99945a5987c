//! `faultline pull`: extracts an artifact's module into a file, for programs that load plugins from files.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;

use crate::artifact::form::{self, Extracted, Rest};
use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::files;
use crate::module::{HEADER, Module, ModuleError};
use crate::reference::digest::Digest;
use crate::store::Store;
use crate::terminal::output::{self, Format};
use crate::terminal::progress;

/// The end of the help.
pub(crate) const HELP: &str = "\
Works for any image that Istio accepts, and for the CNCF's form. The file appears whole or not at all; a layer that is \
cut or damaged, and what is no WebAssembly, is refused.

Examples:
  faultline pull ghcr.io/acme/faultline:0.1.0 -o faultline.wasm
  faultline pull oci:out:0.1.0 -o faultline.wasm";

/// `faultline pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// From where: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The file to write the module to.
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Fetches an artifact's module and writes it to the file.
///
/// # Errors
/// When there is no such artifact, no module in it, or the file cannot be written.
pub(crate) async fn run(args: Pull, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let file = &args.file;
    ensure!(!file.is_dir(), "`{}` is a directory; give the file to write", file.display());

    let store = Store::open(&reference, &args.transport.access())?;
    let image = store.resolve(&reference).await?;
    let (form, layer) = form::locate(&image.manifest).with_context(|| format!("`{reference}`"))?;
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let extracted = store.module(form, layer, &bar).await?.with_context(|| format!("`{reference}`"))?;
    let warnings = checked(&extracted).with_context(|| format!("`{reference}`"))?;
    let module = extracted.module;
    output::warn(&warnings);
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
            "warnings": warnings,
        }))?,
    }
    output::note(&format!("pulled {} from {pinned}", output::size(module.len() as u64)));
    Ok(Outcome::Done)
}

/// What is doubtful about a module that can be used nevertheless.
///
/// # Errors
/// When it is no module, or damage in its layer leaves open whether it is the one that was packed.
fn checked(extracted: &Extracted) -> anyhow::Result<Vec<String>> {
    let mut warnings = Vec::new();
    match Module::read(&extracted.module) {
        Ok(_) => {}
        Err(error @ (ModuleError::Empty | ModuleError::NotWasm(_))) => return Err(error.into()),
        // As Istio's agent, which looks at the header only; whoever loads the module decides.
        Err(error) if extracted.module.len() >= HEADER.len() => warnings.push(format!("the module: {error}")),
        Err(error) => return Err(error.into()),
    }
    match &extracted.rest {
        Rest::Whole => {}
        Rest::Trailing(_) => warnings.extend(extracted.rest.remark()),
        Rest::Damaged(why) => bail!("its layer is damaged behind the module ({why}); publish it again"),
    }
    Ok(warnings)
}
