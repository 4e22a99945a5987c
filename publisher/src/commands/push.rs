//! `faultline push`: checks the module, packs it and publishes it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::artifact::form::Form;
use crate::artifact::pack::{self, Artifact};
use crate::commands::options::{self, Transport, pair};
use crate::commands::outcome::Outcome;
use crate::module::Module;
use crate::module::checks;
use crate::module::embedded;
use crate::reference::Reference;
use crate::store::Store;
use crate::terminal::output::{self, Format};
use crate::terminal::progress;

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints registry/repo:tag@sha256:… of what the tag now stands for. The same module gives the same digest, always; if it \
is there already nothing is sent. SOURCE_DATE_EPOCH sets the times in it, which are left out otherwise. A push that \
fails leaves the tag where it was.

A module that no proxy could load is refused. One that is not faultline's, has no build information, is far too large \
or needs a new Envoy is refused unless --force is given. Version, revision and the like are annotated from what the \
build wrote into the module.

Examples:
  faultline push ghcr.io/acme/faultline:0.1.0
  printenv TOKEN | faultline push ghcr.io/acme/faultline:0.1.0 --username acme --password-stdin
  faultline push ghcr.io/acme/faultline:0.1.0-cncf --format cncf
  faultline push localhost:5000/faultline:dev --wasm target/faultline.wasm
  faultline push oci:out:0.1.0 --annotation org.opencontainers.image.source=https://git.example.com/mesh";

/// `faultline push`
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Where to: registry/repo:tag or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The module to publish, instead of the one this program was built with; `-` is standard input.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) wasm: Option<PathBuf>,
    /// The form to publish it in.
    #[arg(long, value_enum, default_value_t = Form::Oci)]
    pub(crate) format: Form,
    /// Publish it although something about it is doubtful.
    #[arg(long)]
    pub(crate) force: bool,
    /// Another annotation for the manifest; can be given more than once.
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) annotations: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Checks the module, packs it and publishes it.
///
/// # Errors
/// When the module is not a plugin or is doubtful, or the store does not accept it.
pub(crate) async fn run(args: Push, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::tagged_reference(&args.reference)?;
    let (bytes, origin) = module(&args)?;
    let module = Module::read(&bytes).and_then(|m| m.startable().map(|()| m)).with_context(|| origin.clone())?;
    for doubt in checks::doubts(&module, bytes.len()) {
        if !args.force {
            bail!("{origin}: {doubt}; if it is meant so, publish it with --force");
        }
        output::note(&format!("{origin}: {doubt}; publishing it nevertheless"));
    }
    let created = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(value) => Some(pack::source_date_epoch(&value)?),
        Err(_) => None,
    };
    let annotations = args.annotations.iter().cloned().collect();
    let artifact = pack::build(args.format, &bytes, &module, &annotations, created)?;
    if let Some(expected) = reference.digest().filter(|digest| **digest != artifact.digest) {
        bail!(
            "{origin} packs to {}, not to the {expected} of `{reference}`; leave the digest off, or give the module it \
             was made of",
            artifact.digest
        );
    }
    let store = Store::open(&reference, &args.transport.access())?;
    let bar = progress::bytes("uploading", artifact.size() as u64);
    let sent = store.push(&artifact, &bar).await?;
    bar.finish_and_clear();
    // The CNCF form is for others than Istio.
    let warnings = if args.format == Form::Cncf { Vec::new() } else { store.istio_warnings() };
    output::warn(&warnings);
    report(&Pushed { reference, artifact, sent, warnings }, args.format, format)
}

/// The bytes to publish, and the name for them in an error.
fn module(args: &Push) -> anyhow::Result<(Vec<u8>, String)> {
    match (&args.wasm, embedded::MODULE) {
        (Some(path), _) if path.as_os_str() == "-" => {
            Ok((options::stdin(args.transport.password_stdin)?, "the module from standard input".to_owned()))
        }
        (Some(path), _) => {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read the module `{}`", path.display()))?;
            Ok((bytes, format!("module `{}`", path.display())))
        }
        (None, Some(bytes)) => Ok((bytes.to_vec(), "the module this program was built with".to_owned())),
        (None, None) => bail!(
            "this program was built without a module; give one with --wasm FILE, or run `cargo xtask build` and build \
                again"
        ),
    }
}

/// What was done.
struct Pushed {
    reference: Reference,
    artifact: Artifact,
    /// Whether anything was sent or written.
    sent: bool,
    /// Why Istio's agent may not be able to pull it.
    warnings: Vec<String>,
}

fn report(pushed: &Pushed, form: Form, format: Format) -> anyhow::Result<Outcome> {
    let Pushed { reference, artifact, sent, warnings } = pushed;
    let pinned = reference.with_digest(&artifact.digest).to_string();
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": artifact.digest,
            "mediaType": artifact.media_type,
            "form": form,
            "size": artifact.size(),
            "unchanged": !sent,
            "warnings": warnings,
        }))?,
    }
    let size = output::size(artifact.size() as u64);
    output::note(&if *sent { format!("pushed {size}") } else { "it is there already; nothing was sent".to_owned() });
    Ok(Outcome::Done)
}
