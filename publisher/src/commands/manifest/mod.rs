//! `faultline manifest`: writes the resource that puts an artifact into a mesh or an Envoy, pinned to its current
//! digest.

mod applies;
mod args;
mod get;

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::artifact::form;
use crate::commands::options::{self, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::commands::plugin_config::{self, Configuration};
use crate::from_mesh::{self, MeshRules, Witness};
use crate::manifest::kind::Kind;
use crate::manifest::plan::{Plan, Source, Target, TargetRef};
use crate::manifest::{self, comments};
use crate::reference::digest::Digest;
use crate::reference::{Reference, RegistryRef};
use crate::store::Store;
use crate::terminal::output::{self, Format};
pub(crate) use args::{HELP, Manifest, Other};
use mesh::lookup::Client;
use mesh::yaml;

/// Writes the manifest, pinned to the digest that the registry has now.
///
/// # Errors
/// When the artifact cannot be resolved, a mesh is to pull it but would not accept it, a name is not valid, or an
/// option does not fit the kind.
pub(crate) async fn run(args: Manifest, format: Format) -> anyhow::Result<Outcome> {
    let named = match (args.other, &args.reference) {
        (Some(Other::Get(get)), _) => return get::run(*get).await,
        (None, Some(reference)) => reference.clone(),
        (None, None) => return Err(WrongUsage(anyhow::anyhow!("REF is missing")).into()),
    };
    let args = Manifest { other: None, ..args };
    let reference = options::reference(&named)?;
    let mut plan = plan(&args, &reference).map_err(WrongUsage)?;
    if args.with_stats && args.kind != Kind::Envoy && format == Format::Json {
        let why = anyhow::anyhow!("--with-stats writes comments, and JSON has none: leave one of the two off");
        return Err(WrongUsage(why).into());
    }
    let mut outcome = Outcome::Done;
    plan.config = match plugin_config::configuration(args.config.as_deref())? {
        Configuration::Right(config) if args.rules.from.is_empty() => config.or_else(|| usual_config(&args)),
        Configuration::Right(config) => {
            let derived = from_mesh::configuration(rules(&args), config, plugin_config::remark)?;
            outcome = if derived.is_whole { Outcome::Done } else { Outcome::Findings };
            Some(derived.value)
        }
        Configuration::Wrong => {
            output::note("no manifest was written; correct the configuration first");
            return Ok(Outcome::Findings);
        }
    };
    if let Some(lines) = comments::assumed(&plan) {
        output::note(&format!("warning: {}", lines.join(" ")));
        outcome = Outcome::Findings;
    } else if args.kind.is_istio()
        && !args.rules.no_witness
        && plan.config.as_ref().is_some_and(|it| it["witness"].is_null())
    {
        output::note(
            "note: without `\"witness\": {}` in the configuration, Envoy is not asked: its thresholds must be Envoy's",
        );
    }
    if let Some(warning) = manifest::complete(&mut plan, applies::position(&args)).map_err(WrongUsage)? {
        output::note(warning);
    }
    plan.digest = digest(&args, &reference).await?;
    if let Source::Image(image) = &plan.source
        && image.is_loopback()
    {
        output::note(&format!(
            "warning: in a mesh `{}` is each proxy's own machine; give the registry's real name",
            image.authority
        ));
    }
    let document = manifest::document(&plan).map_err(WrongUsage)?;
    match format {
        Format::Text => {
            let comments = comments::head(&plan, &pinned(&reference, plan.digest.as_ref()), args.with_stats);
            output::result(&format!("{comments}{}", yaml::write(&document)?))?;
        }
        Format::Json => output::json(&document)?,
    }
    Ok(outcome)
}

/// The rules that `--from` names. Only Istio's proxies have the cluster that the witness asks.
fn rules(args: &Manifest) -> MeshRules<'_> {
    let client = Client { namespace: args.namespace.as_deref(), labels: &args.selector };
    let rules = args.rules.of_mesh(client, true);
    if args.kind.is_istio() { rules } else { MeshRules { witness: Witness::Off, ..rules } }
}

/// The configuration where none is given. In Istio's proxies the witness reads the rule of each cluster from Envoy
/// itself, so nothing else is needed.
fn usual_config(args: &Manifest) -> Option<Value> {
    (args.kind.is_istio() && !args.rules.no_witness).then(|| json!({"witness": {}}))
}

/// The part of the plan that the command line alone determines, checked.
fn plan(args: &Manifest, reference: &Reference) -> anyhow::Result<Plan> {
    applies::check(args)?;
    let source = if applies::loads_a_file(args) {
        let usual =
            if args.kind == Kind::Envoy { "/etc/envoy/faultline.wasm" } else { "/etc/faultline/faultline.wasm" };
        let path = args.module.clone().unwrap_or_else(|| usual.to_owned());
        Source::File { path, position: applies::position(args) }
    } else {
        Source::Image(image_name(reference, args.image.as_deref())?)
    };
    // The namespace where Higress looks for plugins.
    let usual = (args.kind == Kind::HigressWasmPlugin).then(|| "higress-system".to_owned());
    let plan = Plan {
        kind: args.kind,
        name: args.name.clone(),
        namespace: args.namespace.clone().or(usual),
        source,
        digest: None,
        target: target(args)?,
        phase: args.phase,
        priority: args.priority.unwrap_or(0),
        pull_secret: args.pull_secret.clone(),
        pull_policy: args.image_pull_policy,
        config: None,
    };
    plan.check()?;
    Ok(plan)
}

/// The image name under which the mesh pulls.
fn image_name(reference: &Reference, image: Option<&str>) -> anyhow::Result<RegistryRef> {
    let named = image.map(str::parse).transpose()?;
    if let Reference::Registry(image) = named.as_ref().unwrap_or(reference) {
        ensure!(image.tag.is_some(), "`{}` has no tag; a mesh's manifest names tag and digest", image.tagged());
    }
    match (reference, named) {
        (Reference::Registry(named), None) => Ok(named.clone()),
        (Reference::Layout(_), Some(Reference::Registry(image))) => Ok(image),
        (Reference::Layout(_), None) => bail!(
            "`{reference}` is a directory, from which no mesh can pull; say with --image registry/repo:tag where it \
                will be"
        ),
        (Reference::Layout(_), Some(image)) => bail!("--image `{image}` is a directory too; write registry/repo:tag"),
        (Reference::Registry(_), Some(_)) => {
            bail!("--image is for layout directories; `{reference}` names a registry already")
        }
    }
}

fn target(args: &Manifest) -> anyhow::Result<Target> {
    let parse = |text: &String| TargetRef::parse(args.kind, text);
    let mut refs = args.target_refs.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(name) = &args.waypoint {
        refs.push(TargetRef::parse(args.kind, &format!("Gateway/{name}"))?);
    }
    Ok(if refs.is_empty() { Target::Workloads(labels(&args.selector)?) } else { Target::Resources(refs) })
}

/// The labels that a proxy must have, all of them.
fn labels(selector: &[(String, String)]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for (key, value) in selector {
        let other = labels.insert(key.clone(), value.clone());
        ensure!(
            other.as_ref().is_none_or(|other| other == value),
            "--selector `{key}={value}`: no proxy has this and `{key}={}`; write a manifest for each",
            other.unwrap_or_default()
        );
    }
    Ok(labels)
}

/// The digest to pin: resolved in the artifact's store, or with `--offline` as given.
async fn digest(args: &Manifest, reference: &Reference) -> anyhow::Result<Option<Digest>> {
    if args.offline {
        if reference.digest().is_none() {
            let who = if applies::loads_a_file(args) { "`faultline pull` fetches" } else { "the mesh runs" };
            output::note(&format!("warning: without a digest {who} whatever the tag stands for when it looks"));
        }
        return Ok(reference.digest().cloned());
    }
    let store = Store::open(reference, &args.transport.access())?;
    let resolved = store.resolve(reference).await?;
    if args.kind.is_istio() && !applies::loads_a_file(args) {
        output::warn(&store.istio_warnings());
    }
    if !applies::loads_a_file(args) {
        form::classify(&resolved.manifest).with_context(|| format!("`{reference}`"))?;
    }
    if let Some(index) = &resolved.index {
        output::note(&format!(
            "`{reference}` is an index ({index}); pinned is its image for linux/amd64, as a mesh wants it"
        ));
    }
    if let Some(Reference::Registry(image)) = args.image.as_deref().map(str::parse).transpose()?
        && let Some(expected) = &image.digest
    {
        ensure!(
            *expected == resolved.digest,
            "--image has the digest {expected}, but `{reference}` is {}; leave the digest off",
            resolved.digest
        );
    }
    Ok(Some(resolved.digest))
}

/// The reference with the digest, for a command in the comments.
fn pinned(reference: &Reference, digest: Option<&Digest>) -> String {
    match (reference.digest(), digest) {
        (None, Some(digest)) => format!("{reference}@{digest}"),
        _ => reference.to_string(),
    }
}
