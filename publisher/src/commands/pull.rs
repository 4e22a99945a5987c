//! `faultline pull`: extracts an artifact's module into a file, for programs that load plugins from files; or fetches a
//! document that is attached to it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use serde_json::json;

use crate::artifact::form::{self, Rest};
use crate::commands::options::{self, Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::content::Spool;
use crate::files::{self, NewFile};
use crate::module::{HEADER, ModuleError};
use crate::reference::Reference;
use crate::reference::digest::{Digest, Hasher};
use crate::store::platform::Platform;
use crate::store::{Extracted, Store, attachments};
use crate::terminal::output::{self, Format};
use crate::terminal::{escape, progress};

/// The end of the help.
pub(crate) const HELP: &str = "\
Works for any image that Istio accepts, and for the CNCF's form. The file appears whole or not at all; a layer that is \
cut or damaged, and what is no WebAssembly, is refused.

Examples:
  faultline pull ghcr.io/acme/faultline:0.1.0 -o faultline.wasm
  faultline pull oci:out:0.1.0 -o faultline.wasm
  faultline pull ghcr.io/acme/faultline:0.1.0 -o - | wasm-tools validate
  faultline pull ghcr.io/acme/faultline:0.1.0 --attached application/vnd.cyclonedx+json -o sbom.json";

/// `faultline pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// From where: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The file to write the module to; `-` is standard output.
    #[arg(short = 'o', long = "file", value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// Fetch the document of this type that is attached to it, or the one with this digest, and not the module.
    #[arg(long, value_name = "TYPE|DIGEST")]
    pub(crate) attached: Option<String>,
    /// Of an index, the image for this platform [default: linux/amd64, which a mesh asks for].
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "attached")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Fetches an artifact's module and writes it to the file.
///
/// # Errors
/// When there is no such artifact, no module in it, or the file cannot be written.
pub(crate) async fn run(args: Pull, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let to_stdout = args.file.as_os_str() == "-";
    if to_stdout && format == Format::Json {
        return Err(WrongUsage(anyhow!("`-o -` and `--output json` both want stdout; leave one of them off")).into());
    }
    ensure!(!(to_stdout && output::is_terminal()), "stdout is a terminal; name a file, or pipe it into a program");
    ensure!(!args.file.is_dir(), "`{}` is a directory; give the file to write", args.file.display());
    let store = Store::open(&reference, &args.transport.access())?;
    match &args.attached {
        Some(which) => document(&args, &store, &reference, which, format).await,
        None => module(&args, &store, &reference, format).await,
    }
}

/// Writes the content to where the user wants it.
fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    if file.as_os_str() == "-" { output::bytes(content) } else { files::write(file, content) }
}

async fn module(args: &Pull, store: &Store, reference: &Reference, format: Format) -> anyhow::Result<Outcome> {
    let file = &args.file;
    let image = store.resolve_for(reference, &args.platform.clone().unwrap_or_default()).await?;
    let (form, layer) = form::locate(&image.manifest).with_context(|| format!("`{reference}`"))?;
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let extracted = store.module(form, layer, &bar, || Target::of(file, format)).await?;
    let extracted = extracted.with_context(|| format!("`{reference}`"))?;
    let warnings = checked(&extracted).with_context(|| format!("`{reference}`"))?;
    output::warn(&warnings);
    let (pinned, size) = (reference.with_digest(&image.digest).to_string(), extracted.scanned.size);
    let digest = extracted.to.keep()?;

    match format {
        Format::Text if file.as_os_str() == "-" => {}
        Format::Text => output::result(&format!("{} {pinned}", file.display()))?,
        Format::Json => output::json(&json!({
            "file": file,
            "reference": pinned,
            "digest": image.digest,
            "form": form,
            "module": {"size": size, "digest": digest},
            "warnings": warnings,
        }))?,
    }
    output::note(&format!("pulled {} from {pinned}", output::size(size)));
    Ok(Outcome::Done)
}

/// Where a module goes, once it is known to be one.
struct Target {
    place: Place,
    /// For its digest, if that is printed.
    hasher: Option<Hasher>,
}

enum Place {
    File(NewFile),
    Stdout(Spool),
}

impl Target {
    fn of(file: &Path, format: Format) -> anyhow::Result<Self> {
        let is_stdout = file.as_os_str() == "-";
        let place = if is_stdout { Place::Stdout(Spool::new()) } else { Place::File(NewFile::new(file)?) };
        Ok(Self { place, hasher: (format == Format::Json).then(Hasher::default) })
    }

    /// Puts it in its place. Returns its digest, if that is wanted.
    fn keep(self) -> anyhow::Result<Option<Digest>> {
        match self.place {
            Place::File(file) => file.keep_unsynced()?,
            Place::Stdout(spool) => {
                spool.finish()?.each(|piece| output::bytes(piece).map_err(io::Error::other))?;
            }
        }
        Ok(self.hasher.map(Hasher::finish))
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.place {
            Place::File(file) => file.write(bytes)?,
            Place::Stdout(spool) => spool.write(bytes)?,
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.push(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fetches an attached document.
async fn document(
    args: &Pull,
    store: &Store,
    reference: &Reference,
    which: &str,
    format: Format,
) -> anyhow::Result<Outcome> {
    let subject = store.named(reference).await?;
    let (all, remark) = attachments::list(store, &subject.digest).await?;
    let found: Vec<_> = all.iter().filter(|it| it.artifact_type == which || it.digest == which).collect();
    let kinds = || escape::one_line(&all.iter().map(|it| it.artifact_type.as_str()).collect::<Vec<_>>().join(", "));
    let attached = match found.as_slice() {
        [one] => *one,
        [] if all.is_empty() => {
            bail!("nothing is attached to `{reference}`{}", remark.map(|it| format!(" ({it})")).unwrap_or_default())
        }
        [] => bail!("no `{which}` is attached to `{reference}`; there is {}", kinds()),
        [first, ..] => bail!(
            "{} documents of type `{which}` are attached to `{reference}`; give the digest of one, such as {}",
            found.len(),
            first.digest
        ),
    };
    let (content, kind) = attachments::content(store, attached).await?;
    write(&args.file, &content)?;
    match format {
        Format::Text if args.file.as_os_str() == "-" => {}
        Format::Text => {
            let digest: Digest = attached.digest.parse().context("the digest of what is attached")?;
            output::result(&format!("{} {}", args.file.display(), reference.untagged(&digest)))?;
        }
        Format::Json => output::json(&json!({
            "file": args.file,
            "subject": subject.digest,
            "digest": attached.digest,
            "artifactType": attached.artifact_type,
            "mediaType": kind,
            "size": content.len(),
        }))?,
    }
    output::note(&format!("pulled {} ({})", output::size(content.len() as u64), escape::one_line(&kind)));
    Ok(Outcome::Done)
}

/// What is doubtful about a module that can be used nevertheless.
///
/// # Errors
/// When it is no module, or damage in its layer leaves open whether it is the one that was packed.
fn checked(extracted: &Extracted<Target>) -> anyhow::Result<Vec<String>> {
    let mut warnings = Vec::new();
    match &extracted.scanned.module {
        Ok(_) => {}
        // As Istio's agent, which looks at the header only; whoever loads the module decides.
        Err(error)
            if extracted.scanned.size >= HEADER.len() as u64
                && !matches!(error, ModuleError::Empty | ModuleError::NotWasm(_)) =>
        {
            warnings.push(format!("the module: {error}"));
        }
        Err(error) => return Err(error.clone().into()),
    }
    match &extracted.rest {
        Rest::Complete => {}
        Rest::Trailing(_) => warnings.extend(extracted.rest.remark()),
        Rest::Damaged(why) => bail!("its layer is damaged behind the module ({why}); publish it again"),
    }
    Ok(warnings)
}
