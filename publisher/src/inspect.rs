//! `faultline inspect`: what an artifact is, and whether Istio would load it.
//!
//! The verdict follows the way a module takes in a mesh: the agent must accept the image's shape and find the module in it, and
//! the proxy must be able to start it. Whether the registry can be reached from the mesh is not known here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::artifact::VERSION_ANNOTATION;
use crate::cli::{self, Inspect};
use crate::digest::Digest;
use crate::image::{self, Form};
use crate::module::Module;
use crate::output::{self, Format};
use crate::reference::Reference;
use crate::store::{Resolved, Store};
use crate::{Outcome, progress};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    reference: String,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Digest>,
    media_type: Option<String>,
    form: Option<Form>,
    /// Bytes of manifest, config and layers together.
    size: u64,
    version: Option<String>,
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<ModuleReport>,
    istio: Verdict,
}

#[derive(Debug, Serialize)]
struct ModuleReport {
    size: usize,
    digest: Digest,
    #[serde(flatten)]
    module: Module,
}

#[derive(Debug, Serialize)]
struct Verdict {
    loads: bool,
    problem: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When the artifact cannot be read. That Istio would not load it is a finding, not an error.
pub async fn run(args: Inspect, format: Format) -> anyhow::Result<Outcome> {
    let reference = cli::reference(&args.reference)?;
    let store = Store::open(&reference, &args.transport)?;
    let image = store.resolve(&reference).await?;
    let report = examine(&reference, &store, image).await?;
    match format {
        Format::Text => output::result(&text(&report))?,
        Format::Json => output::json(&report)?,
    }
    Ok(if report.istio.loads { Outcome::Done } else { Outcome::Findings })
}

async fn examine(reference: &Reference, store: &Store, image: Resolved) -> anyhow::Result<Report> {
    let manifest = &image.manifest;
    let blobs: u64 = manifest.layers.iter().chain([&manifest.config]).map(|d| d.size.unsigned_abs()).sum();
    let annotations = manifest.annotations.clone().unwrap_or_default();
    let mut report = Report {
        reference: reference.with_digest(image.index.as_ref().unwrap_or(&image.digest)).to_string(),
        media_type: manifest.media_type.clone(),
        form: None,
        size: image.size as u64 + blobs,
        version: annotations.get(VERSION_ANNOTATION).cloned(),
        annotations,
        module: None,
        istio: Verdict { loads: false, problem: None },
        digest: image.digest.clone(),
        index: image.index.clone(),
    };
    let (form, layer) = match image::classify(manifest) {
        Ok(found) => found,
        Err(error) => {
            report.istio.problem = Some(error.to_string());
            return Ok(report);
        }
    };
    report.form = Some(form);
    let bar = progress::bytes("downloading", layer.size.unsigned_abs());
    let blob = store.blob(layer, &bar).await?;
    bar.finish_and_clear();
    let bytes = match image::extract(form, blob) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.istio.problem = Some(error.to_string());
            return Ok(report);
        }
    };
    match Module::read(&bytes) {
        Ok(module) => {
            report.istio = match module.startable() {
                Ok(()) => Verdict { loads: true, problem: None },
                Err(error) => Verdict { loads: false, problem: Some(format!("the module: {error}")) },
            };
            report.module = Some(ModuleReport { size: bytes.len(), digest: Digest::of(&bytes), module });
        }
        Err(error) => report.istio.problem = Some(format!("the module: {error}")),
    }
    Ok(report)
}

fn text(report: &Report) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(lines, "{name:<12}{value}");
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
        line("module", &format!("{}, {}", output::size(found.size as u64), found.digest));
        line("abi", found.module.abi.map_or("none", |abi| abi.as_str()));
        let or_none = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        line("imports", &or_none(&found.module.imports));
        line("exports", &or_none(&found.module.exports));
    }
    match &report.istio.problem {
        None => line("istio", "would load it"),
        Some(problem) => line("istio", &format!("would not load it: {problem}")),
    }
    lines
}
