//! `faultline manifest`: what puts an artifact into a mesh or an Envoy, pinned to what the registry holds now.
//!
//! Reading order: [`args`] (what can be typed), [`applies`] (what fits which kind), [`plan`] (everything that a manifest says), then
//! one file for each family of kinds: [`istio`] with Higress's, [`gateway`], [`envoy_filter`], [`bootstrap`]; [`plugin`] is what the
//! last two share, [`stats`] what the metrics need, [`comments`] what stands at the head.
//!
//! Every mesh compares the digest with that of the image's manifest, an index's being the child's. Pinning matters twice: the mesh
//! runs what was looked at, and a proxy that has the module already needs no registry at all.

mod applies;
pub mod args;
mod bootstrap;
mod comments;
mod envoy_filter;
mod gateway;
mod istio;
mod plan;
mod plugin;
mod stats;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::commands::options::{self, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::digest::Digest;
use crate::reference::{Reference, RegistryRef};
use crate::store::Store;
use crate::terminal::output::{self, Format};
use crate::{from, image, validate};
use args::{Kind, Manifest};
use plan::{Plan, Source, Target, TargetRef};

/// Runs it.
///
/// # Errors
/// When the artifact cannot be resolved, is none that a mesh accepts though one is to pull it, a name is not valid, or an option
/// does not fit the kind.
pub async fn run(args: Manifest, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let mut plan = plan(&args, &reference).map_err(WrongUsage)?;
    if args.with_stats && args.kind != Kind::Envoy && format == Format::Json {
        let why = anyhow::anyhow!("--with-stats writes comments, and JSON has none: leave one of the two off");
        return Err(WrongUsage(why).into());
    }
    plan.config = match configuration(&args)? {
        Configuration::Right(config) if args.rules.from.is_empty() => config,
        Configuration::Right(config) => Some(from::configuration(&args.rules, config)?),
        Configuration::Wrong => {
            output::note("no manifest was written; correct the configuration first");
            return Ok(Outcome::Findings);
        }
    };
    complete(&mut plan, applies::in_upstream_log(&args)).map_err(WrongUsage)?;
    plan.digest = digest(&args, &reference).await?;
    if let Source::Image(image) = &plan.source
        && image.is_loopback()
    {
        output::note(&format!(
            "warning: in a mesh `{}` is each proxy's own machine; give the registry's real name",
            image.host
        ));
    }
    let document = document(&plan).map_err(WrongUsage)?;
    match format {
        Format::Text => {
            let comments = comments::head(&plan, &pinned(&reference, plan.digest.as_ref()), args.with_stats);
            output::result(&format!("{comments}{}", serde_saphyr::to_string(&document)?))?;
        }
        Format::Json => output::json(&document)?,
    }
    Ok(Outcome::Done)
}

/// What the command line alone says, checked.
fn plan(args: &Manifest, reference: &Reference) -> anyhow::Result<Plan> {
    applies::check(args)?;
    let source = if applies::loads_a_file(args) {
        let usual =
            if args.kind == Kind::Envoy { "/etc/envoy/faultline.wasm" } else { "/etc/faultline/faultline.wasm" };
        let path = args.module.clone().unwrap_or_else(|| usual.to_owned());
        Source::File { path, upstream_log: applies::in_upstream_log(args) }
    } else {
        Source::Image(image_name(reference, args.image.as_deref())?)
    };
    // Where Higress looks for plugins.
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

/// The name under which the mesh pulls.
fn image_name(reference: &Reference, image: Option<&str>) -> anyhow::Result<RegistryRef> {
    match (reference, image.map(str::parse).transpose()?) {
        (Reference::Registry(named), None) => Ok(named.clone()),
        (Reference::Layout(_), Some(Reference::Registry(image))) => Ok(image),
        (Reference::Layout(_), None) => bail!(
            "`{reference}` is a directory, from which no mesh can pull; say with --image registry/repo:tag where it will be"
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
    Ok(if refs.is_empty() {
        Target::Workloads(args.selector.iter().cloned().collect())
    } else {
        Target::Resources(refs)
    })
}

/// What came of looking for the plugin's configuration.
enum Configuration {
    /// It is right; there may be none.
    Right(Option<Value>),
    /// It is wrong, and it has been said how.
    Wrong,
}

/// The plugin's configuration, as far as the command line names one.
fn configuration(args: &Manifest) -> anyhow::Result<Configuration> {
    let Some(path) = &args.config else { return Ok(Configuration::Right(None)) };
    let text = validate::read(path)?;
    let findings = validate::check(&text);
    for finding in &findings {
        output::note(&format!("{}: {}: {}", path.display(), finding.path, finding.problem));
    }
    if !findings.is_empty() {
        return Ok(Configuration::Wrong);
    }
    if text.trim_ascii().is_empty() {
        return Ok(Configuration::Right(None));
    }
    Ok(Configuration::Right(Some(serde_json::from_slice(&text)?)))
}

/// Brings the configuration in line with where the plugin stands: which attempts it counts and, in a bootstrap, whom it asks, and
/// that its two endpoints can be ejected at all, which Envoy's cap of 10 percent would forbid.
fn complete(plan: &mut Plan, upstream_log: bool) -> anyhow::Result<()> {
    let attempts = plan.config.as_ref().and_then(|config| config["attempts"].as_str());
    match (attempts, upstream_log) {
        (Some("final"), true) => bail!(
            "the configuration says `attempts: final`, with which the upstream log is not read: leave it off, or use --position http"
        ),
        (Some("upstreamLog"), false) if matches!(plan.kind, Kind::EnvoyFilter | Kind::Envoy) => {
            bail!("the configuration says `attempts: upstreamLog`, which needs --position upstream-log")
        }
        (Some("upstreamLog"), false) => output::note(
            "warning: the configuration says `attempts: upstreamLog`; without an EnvoyFilter for the upstream log too (--kind EnvoyFilter --position upstream-log) nothing is seen",
        ),
        _ => {}
    }
    if upstream_log {
        plan.config.get_or_insert_with(|| json!({}))["attempts"] = json!("upstreamLog");
    }
    if plan.kind == Kind::Envoy {
        let config = plan.config.get_or_insert_with(|| json!({}));
        if config["witness"].is_null() {
            config["witness"] = json!({"cluster": bootstrap::WITNESS});
        }
        if config["outlierDetection"].is_null() {
            config["outlierDetection"] = json!({"maxEjectionPercent": 100});
        }
    }
    Ok(())
}

/// The digest to pin: resolved where the artifact is, or with `--offline` as given.
async fn digest(args: &Manifest, reference: &Reference) -> anyhow::Result<Option<Digest>> {
    if args.offline {
        if reference.digest().is_none() {
            let who = if applies::loads_a_file(args) { "`faultline pull` fetches" } else { "the mesh runs" };
            output::note(&format!("warning: without a digest {who} whatever the tag stands for when it looks"));
        }
        return Ok(reference.digest().cloned());
    }
    let resolved = Store::open(reference, &args.transport)?.resolve(reference).await?;
    if !applies::loads_a_file(args) {
        image::classify(&resolved.manifest).with_context(|| format!("`{reference}`"))?;
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

/// A reference with the digest, for a command in the comments.
fn pinned(reference: &Reference, digest: Option<&Digest>) -> String {
    match (reference.digest(), digest) {
        (None, Some(digest)) => format!("{reference}@{digest}"),
        _ => reference.to_string(),
    }
}

/// The manifest itself.
///
/// # Errors
/// When the kind needs a digest and there is none, or the configuration is none.
fn document(plan: &Plan) -> anyhow::Result<Value> {
    Ok(match (&plan.source, plan.kind) {
        (Source::File { path, upstream_log }, Kind::Envoy) => bootstrap::bootstrap(plan, path, *upstream_log)?,
        (Source::File { path, .. }, _) => envoy_filter::upstream_log(plan, path),
        (Source::Image(image), Kind::WasmPlugin) => istio::wasm_plugin(plan, image),
        (Source::Image(image), Kind::TrafficExtension) => istio::traffic_extension(plan, image),
        (Source::Image(image), Kind::HigressWasmPlugin) => istio::higress(plan, image),
        (Source::Image(image), Kind::EnvoyExtensionPolicy) => gateway::policy(plan, image),
        (Source::Image(image), Kind::EnvoyFilter | Kind::Envoy) => envoy_filter::by_discovery(plan, image)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::tests::plan;
    use std::collections::BTreeMap;

    fn yaml(plan: &Plan) -> String {
        serde_saphyr::to_string(&document(plan).unwrap()).unwrap()
    }

    #[test]
    fn the_default_is_what_a_namespace_of_sidecars_needs() {
        assert_eq!(
            yaml(&plan(Kind::WasmPlugin)).trim_end(),
            "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: faultline
  namespace: shop
spec:
  failStrategy: FAIL_OPEN
  match:
  - mode: CLIENT
  pluginName: faultline
  priority: 0
  sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  url: oci://ghcr.io/acme/faultline:1.0"
        );
    }

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for hex in ["1".repeat(64), format!("1e{}", "2".repeat(62)), format!("0{}", "7".repeat(63))] {
            let mut plan = plan(Kind::WasmPlugin);
            plan.digest = Some(format!("sha256:{hex}").parse().unwrap());
            let yaml = yaml(&plan);
            assert!(
                yaml.contains(&format!("sha256: \"{hex}\"")) || yaml.contains(&format!("sha256: '{hex}'")),
                "{yaml}"
            );
        }
        for word in ["true", "yes", "on", "y", "null", "~", "1", "0x1f", "1_000", "12:30", ""] {
            let mut plan = plan(Kind::WasmPlugin);
            plan.target = Target::Workloads(BTreeMap::from([("k".to_owned(), word.to_owned())]));
            let yaml = yaml(&plan);
            assert!(!yaml.contains(&format!("k: {word}\n")), "{yaml}");
        }
    }

    #[test]
    fn a_configuration_that_contradicts_the_position_is_refused() {
        let mut contradictory = plan(Kind::EnvoyFilter);
        contradictory.config = Some(json!({"attempts": "final"}));
        assert!(complete(&mut contradictory, true).is_err());
        contradictory.config = Some(json!({"attempts": "upstreamLog"}));
        assert!(complete(&mut contradictory, false).is_err());
    }
}
