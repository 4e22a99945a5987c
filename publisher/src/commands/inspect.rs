//! `faultline inspect`: describes an artifact, who could load it, and what is attached to it.
//!
//! Istio's verdict decides the exit code. It follows a module's path in a mesh: the agent must accept the image's shape
//! and find the module in it, and the proxy must be able to start it. Other consumers are in
//! [`crate::artifact::consumers`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;

use crate::artifact::consumers::{self, LoadError, Verdict};
use crate::artifact::form::{self, Form};
use crate::artifact::pack::VERSION_ANNOTATION;
use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::module::Module;
use crate::module::scan::Scanned;
use crate::reference::Reference;
use crate::reference::digest::{Digest, Hasher};
use crate::signature;
use crate::store::attachments::{self, Attached};
use crate::store::{Extracted, Resolved, Store};
use crate::terminal::output::{self, Format};
use crate::terminal::{escape, progress};

/// The end of the help.
pub(crate) const HELP: &str = "\
Says for each of Istio, Envoy Gateway, Higress, Envoy, Kubernetes image volumes, wkg, runwasi, oras, skopeo and crane \
whether it would load what is there, why not, in which words it says so, and what to do. Lists signatures (`faultline \
verify` checks them) and attached documents. Exits with 3 if Istio would not load it.

Examples:
  faultline inspect ghcr.io/acme/faultline:0.1.0
  faultline inspect oci:out:0.1.0 --output json";

/// `faultline inspect`
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    reference: String,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Digest>,
    media_type: Option<String>,
    form: Option<Form>,
    /// Total size of manifest, config and layers in bytes.
    size: u64,
    version: Option<String>,
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<ModuleReport>,
    istio: Summary,
    /// Why Istio's agent may not be able to pull it, whatever it is.
    warnings: Vec<String>,
    consumers: Vec<Verdict>,
    signatures: usize,
    attached: Vec<Attached>,
    /// Why more may be attached, if it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    attached_problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct ModuleReport {
    size: u64,
    digest: Digest,
    #[serde(flatten)]
    module: Module,
}

#[derive(Debug, Serialize)]
struct Summary {
    loads: bool,
    problem: Option<String>,
}

/// Fetches an artifact and reports what it is and who would load it.
///
/// # Errors
/// When the artifact cannot be read. That Istio would not load it is a finding, not an error.
pub(crate) async fn run(args: Inspect, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let store = Store::open(&reference, &args.transport.access())?;
    let image = store.resolve(&reference).await?;
    let report = examine(&reference, &store, image).await?;
    output::warn(&report.warnings);
    match format {
        Format::Text => output::result(&text(&report))?,
        Format::Json => output::json(&report)?,
    }
    Ok(if report.istio.loads { Outcome::Done } else { Outcome::Findings })
}

async fn examine(reference: &Reference, store: &Store, image: Resolved) -> anyhow::Result<Report> {
    let manifest = &image.manifest;
    let named = image.index.as_ref().unwrap_or(&image.digest);
    let Contents { module: found, fault, remark } = contents(store, &image).await?;
    let warnings = store.istio_warnings().into_iter().chain(remark).collect();
    // A missing or damaged config breaks only some consumers; the others still get a verdict.
    let config = store.blob(&manifest.config, &ProgressBar::hidden()).await.ok();
    let config: Option<Value> = config.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let consumers = consumers::Image {
        reference: &reference.to_string(),
        digest: &image.digest,
        pinned_index: image.index.as_ref().filter(|index| reference.digest() == Some(*index)),
        manifest,
        config: config.as_ref(),
        fault: fault.as_ref(),
    }
    .verdicts();
    let istio = consumers.first().map(|verdict| Summary { loads: verdict.loads, problem: verdict.problem.clone() });

    let blobs: u64 = manifest.layers.iter().chain([&manifest.config]).map(|d| d.size.unsigned_abs()).sum();
    // What is attached is beside the verdicts: they are told even if it cannot be asked for.
    let (attached, attached_problem) = attachments::list(store, named)
        .await
        .unwrap_or_else(|error| (Vec::new(), Some(format!("it could not be asked for: {error:#}"))));
    let annotations = manifest.annotations.clone().unwrap_or_default();
    let built = found.as_ref().and_then(|found| found.module.build.as_ref());
    Ok(Report {
        reference: reference.with_digest(named).to_string(),
        media_type: manifest.media_type.clone(),
        form: form::locate(manifest).ok().map(|(form, _)| form),
        size: image.size as u64 + blobs,
        version: annotations.get(VERSION_ANNOTATION).or(built.map(|build| &build.version)).cloned(),
        annotations,
        istio: istio.unwrap_or(Summary { loads: false, problem: None }),
        consumers,
        signatures: signature::count(store, named).await?,
        attached,
        attached_problem,
        warnings,
        module: found,
        digest: image.digest.clone(),
        index: image.index.clone(),
    })
}

/// What the layer of an image holds.
struct Contents {
    /// The module, if there is one.
    module: Option<ModuleReport>,
    /// Why a mesh could not load it.
    fault: Option<LoadError>,
    /// What else is wrong with the layer.
    remark: Option<String>,
}

async fn contents(store: &Store, image: &Resolved) -> anyhow::Result<Contents> {
    let refused = form::classify(&image.manifest).err().map(LoadError::Image);
    let (form, layer) = match form::locate(&image.manifest) {
        Ok(found) => found,
        Err(_) => return Ok(Contents { module: None, fault: refused, remark: None }),
    };
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let extracted = match store.module(form, layer, &bar, || Ok(Hasher::default())).await? {
        Ok(extracted) => extracted,
        Err(error) => return Ok(Contents { module: None, fault: Some(LoadError::Image(error)), remark: None }),
    };
    let Extracted { scanned: Scanned { module, size }, rest, to: hasher } = extracted;
    let (remark, digest) = (rest.remark(), hasher.finish());
    Ok(match module {
        Ok(module) => {
            let fault = refused.or(module.startable().err().map(LoadError::Module));
            Contents { module: Some(ModuleReport { size, digest, module }), fault, remark }
        }
        Err(error) => Contents { module: None, fault: refused.or(Some(LoadError::Module(error))), remark },
    })
}

fn text(report: &Report) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(lines, "{name:<12}{}", escape::one_line(value));
    };
    line("reference", &report.reference);
    line("digest", &report.digest.to_string());
    if let Some(index) = &report.index {
        line("index", &format!("{index} (pin the digest above, a mesh refuses that of an index)"));
    }
    line("form", report.form.map_or("unknown", Form::describe));
    line("size", &output::size(report.size));
    line("version", report.version.as_deref().unwrap_or("not stated"));
    if let Some(found) = &report.module {
        let build = found.module.build.as_ref();
        if let Some(revision) = build.and_then(|build| build.revision.as_ref()) {
            line("revision", revision);
        }
        line("module", &format!("{}, {}", output::size(found.size), found.digest));
        line("abi", found.module.abi.map_or("none", |abi| abi.as_str()));
        let or_none = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        line("imports", &or_none(&found.module.imports));
        line("exports", &or_none(&found.module.exports));
    }
    match report.signatures {
        0 => line("signatures", "none"),
        n => line("signatures", &format!("{n} (`faultline verify REF --key cosign.pub` checks them)")),
    }
    match &report.attached_problem {
        Some(problem) if report.attached.is_empty() => line("attached", problem),
        Some(problem) => line("attached", &format!("perhaps more: {problem}")),
        None if report.attached.is_empty() => line("attached", "nothing"),
        None => {}
    }
    for document in &report.attached {
        line("attached", &format!("{} {}", document.artifact_type, document.digest));
    }
    lines.push('\n');
    let mut shown: Option<&Verdict> = None;
    for verdict in &report.consumers {
        let answer = if verdict.loads { "yes" } else { "no" };
        let same = shown.filter(|before| !verdict.loads && before.problem == verdict.problem);
        let problem = match same {
            Some(before) => format!("as {}", consumers::title(before.consumer)),
            None => verdict.problem.clone().unwrap_or_default(),
        };
        let row = format!("{:<25}{answer:<4}{problem}", consumers::title(verdict.consumer));
        let _ = writeln!(lines, "{}", escape::one_line(row.trim_end()));
        if same.is_some() {
            continue;
        }
        for (name, words) in [("says", &verdict.says), ("do", &verdict.remedy)] {
            if let Some(words) = words {
                let _ = writeln!(lines, "{:<29}{name}: {}", "", escape::one_line(words));
            }
        }
        shown = Some(verdict);
    }
    lines
}
