//! `faultline push`: checks the module, packs it and publishes it.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use crate::artifact::archive;
use crate::artifact::cache::{Cache, Entry};
use crate::artifact::form::Form;
use crate::artifact::pack::{self, Artifact, Payload};
use crate::commands::options::{self, Transport, pair};
use crate::commands::outcome::Outcome;
use crate::content::{Content, Spool};
use crate::module::checks::Facts;
use crate::module::embedded;
use crate::module::scan::{Scan, Scanned};
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
    let created = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(value) => Some(pack::source_date_epoch(&value)?),
        Err(_) => None,
    };
    let (module, origin) = module(&args)?;
    let (facts, payload) = prepared(module, &origin, args.format, created)?;
    for doubt in &facts.doubts {
        if !args.force {
            bail!("{origin}: {doubt}; if it is meant so, publish it with --force");
        }
        output::note(&format!("{origin}: {doubt}; publishing it nevertheless"));
    }
    let annotations = args.annotations.iter().cloned().collect();
    let artifact = pack::build(args.format, payload, &facts, &annotations, created)?;
    if let Some(expected) = reference.digest().filter(|digest| **digest != artifact.digest) {
        bail!(
            "{origin} packs to {}, not to the {expected} of `{reference}`; leave the digest off, or give the module it \
             was made of",
            artifact.digest
        );
    }
    let store = Store::open(&reference, &args.transport.access())?;
    let bar = progress::bytes("uploading", artifact.size());
    let sent = store.push(&artifact, &bar).await.map_err(|error| without_damage(error, &artifact))?;
    bar.finish_and_clear();
    // The CNCF form is for others than Istio.
    let warnings = if args.format == Form::Cncf { Vec::new() } else { store.istio_warnings() };
    output::warn(&warnings);
    report(&Pushed { reference, artifact, sent, warnings }, args.format, format)
}

/// The error of a push; another one if the layer came from the cache and is damaged, so that the store refused it.
fn without_damage(error: anyhow::Error, artifact: &Artifact) -> anyhow::Error {
    let layers = artifact.layers.iter().filter_map(|layer| layer.descriptor.digest.parse().ok());
    let damaged = Cache::of_user().is_some_and(|cache| layers.into_iter().any(|digest| cache.remove_damaged(&digest)));
    if damaged {
        error.context("the packed layer in the cache was damaged and is now removed; push again")
    } else {
        error
    }
}

/// What is known of the module, and what is published of it. A module that was packed before is taken from the cache.
fn prepared(
    module: Content,
    origin: &str,
    form: Form,
    created: Option<OffsetDateTime>,
) -> anyhow::Result<(Facts, Payload)> {
    let read = || format!("cannot read {origin}");
    let digest = module.digest().with_context(read)?;
    if matches!(form, Form::Solo | Form::Cncf) {
        return Ok((facts(&module, origin)?, Payload::Module(digest, module)));
    }
    let (cache, time) = (Cache::of_user(), created.map_or(0, OffsetDateTime::unix_timestamp));
    if let Some(cache) = &cache
        && let Some(entry) = cache.find(&digest, time)
        && let Some(layer) = cache.content(&entry.packed)
    {
        return Ok((entry.facts, Payload::Layer(entry.packed, layer)));
    }
    let facts = facts(&module, origin)?;
    let mut spool = Spool::new();
    let packed = archive::pack(module.reader().with_context(read)?, &digest, module.size(), created, &mut spool);
    let packed = packed.with_context(|| format!("cannot pack {origin} into a temporary file"))?;
    let layer = spool.finish()?;
    let entry = Entry::new(facts, packed);
    if let Some(cache) = &cache {
        cache.keep(&digest, time, &entry, &layer);
    }
    Ok((entry.facts, Payload::Layer(entry.packed, layer)))
}

/// What is to be known of the module.
fn facts(module: &Content, origin: &str) -> anyhow::Result<Facts> {
    let mut scan = Scan::new();
    let read = module.each(|piece| {
        scan.push(piece);
        Ok(())
    });
    read.with_context(|| format!("cannot read {origin}"))?;
    let Scanned { module, size } = scan.finish();
    let module = module.and_then(|module| module.startable().map(|()| module));
    Ok(Facts::of(&module.with_context(|| origin.to_owned())?, size))
}

/// The module to publish, and the name for them in an error.
fn module(args: &Push) -> anyhow::Result<(Content, String)> {
    match (&args.wasm, embedded::MODULE) {
        (Some(path), _) if path.as_os_str() == "-" => {
            Ok((options::stdin(args.transport.password_stdin)?, "the module from standard input".to_owned()))
        }
        (Some(path), _) => {
            let content = File::open(path).and_then(Content::of_file);
            let content = content.with_context(|| format!("cannot read the module `{}`", path.display()))?;
            Ok((content, format!("module `{}`", path.display())))
        }
        (None, Some(bytes)) => Ok((Content::Memory(bytes.into()), "the module this program was built with".to_owned())),
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
    let size = output::size(artifact.size());
    output::note(&if *sent { format!("pushed {size}") } else { "it is there already; nothing was sent".to_owned() });
    Ok(Outcome::Done)
}
