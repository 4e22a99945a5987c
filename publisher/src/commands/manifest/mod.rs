//! `faultline manifest`: what puts an artifact into a mesh or an Envoy, pinned to what the registry holds now.

mod applies;

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::artifact::form;
use crate::commands::options::{self, Rules, Transport, WrongUsage, pair};
use crate::commands::outcome::Outcome;
use crate::commands::plugin_config::{self, Configuration};
use crate::from_mesh;
use crate::manifest::kind::{Kind, Phase, Position, PullPolicy};
use crate::manifest::plan::{Plan, Source, Target, TargetRef};
use crate::manifest::{self, comments};
use crate::reference::digest::Digest;
use crate::reference::{Reference, RegistryRef};
use crate::store::Store;
use crate::terminal::output::{self, Format};
use crate::yaml;

/// What the help ends with.
pub(crate) const HELP: &str = "\
The digest is asked for at the registry, so that the mesh runs exactly what is there now. --offline writes without \
asking: with the digest in REF, or without one. For a layout directory, say with --image under which name the mesh will \
pull it.

Kinds, and what they need:
  WasmPlugin            any Istio: sidecars, gateways, waypoints
  TrafficExtension      the same, for Istio 1.30 and later
  EnvoyFilter           Istio's patches, for what the two above cannot do.
                        With --position upstream-log the module must be a
                        file in the proxy's container: Istio's agent pulls
                        modules for HTTP filters only
  EnvoyExtensionPolicy  Envoy Gateway; needs --target-ref
  HigressWasmPlugin     Higress: all of its gateway
  Envoy                 a whole bootstrap for an Envoy without a mesh; put
                        the module there with `faultline pull`
What else is to be done, and how to see that it works, stands in comments at the head of each.

Examples:
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace istio-system > faultline.yaml
  faultline manifest ghcr.io/acme/faultline:0.1.0 --selector app=checkout --config faultline.json --with-stats
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace shop --from destinationrules.yaml
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace shop --waypoint
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind TrafficExtension --pull-secret ghcr
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind EnvoyFilter --namespace shop
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind EnvoyFilter --position upstream-log --selector app=checkout
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind EnvoyExtensionPolicy --target-ref Gateway/edge
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind HigressWasmPlugin
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind Envoy > bootstrap.yaml
  faultline manifest oci:out:0.1.0 --image registry.example.com/mesh/faultline:0.1.0";

/// `faultline manifest`
#[derive(Debug, Args)]
pub(crate) struct Manifest {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The kind of resource; what each is for is said below.
    #[arg(long, value_enum, default_value_t = Kind::WasmPlugin, ignore_case = true)]
    pub(crate) kind: Kind,
    /// Where in the proxy: `http` is an HTTP filter, which sees each request's last attempt; `upstream-log` is the router's log of
    /// attempts with the HTTP filter beside it, which see every attempt. EnvoyFilter (default http) and Envoy (default
    /// upstream-log) only.
    #[arg(long, value_enum)]
    pub(crate) position: Option<Position>,
    /// The module's file in the proxy's file system, where Envoy itself loads it: for Envoy [default: /etc/envoy/faultline.wasm],
    /// and for EnvoyFilter with --position upstream-log [default: /etc/faultline/faultline.wasm].
    #[arg(long, value_name = "PATH")]
    pub(crate) module: Option<String>,
    /// Name of the resource.
    #[arg(long, default_value = "faultline")]
    pub(crate) name: String,
    /// Namespace of the resource; Istio's root namespace (istio-system) means the whole mesh.
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Only workloads with this label; can be given more than once.
    #[arg(long = "selector", value_name = "KEY=VALUE", value_parser = pair, conflicts_with_all = ["target_refs", "waypoint"])]
    pub(crate) selector: Vec<(String, String)>,
    /// Attach to this resource; can be given more than once. Istio: Gateway, GatewayClass, Service or ServiceEntry. Envoy Gateway:
    /// Gateway, ListenerSet, HTTPRoute or GRPCRoute.
    #[arg(long = "target-ref", value_name = "KIND/NAME")]
    pub(crate) target_refs: Vec<String>,
    /// Attach to a waypoint proxy, by the name of its Gateway.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "waypoint")]
    pub(crate) waypoint: Option<String>,
    /// The plugin configuration, JSON; it is validated first.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Pull secret, of type kubernetes.io/dockerconfigjson, in the same namespace.
    #[arg(long, value_name = "NAME")]
    pub(crate) pull_secret: Option<String>,
    /// When proxies pull again; with a digest it makes no difference. Istio's own default is IfNotPresent.
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) image_pull_policy: Option<PullPolicy>,
    /// Place in the filter chain; the default is last before the router.
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) phase: Option<Phase>,
    /// Order among plugins of the same phase, higher first [default: 0; left out, istiod would put the plugin behind all others].
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Say also what makes the metrics' labels, and Envoy's own counters of ejections, appear in Prometheus.
    #[arg(long)]
    pub(crate) with_stats: bool,
    /// The name under which the mesh will pull what is in a layout directory.
    #[arg(long, value_name = "registry/repo:tag")]
    pub(crate) image: Option<String>,
    /// Do not ask the registry for the digest.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) rules: Rules,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Runs it.
///
/// # Errors
/// When the artifact cannot be resolved, is none that a mesh accepts though one is to pull it, a name is not valid, or an option
/// does not fit the kind.
pub(crate) async fn run(args: Manifest, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let mut plan = plan(&args, &reference).map_err(WrongUsage)?;
    if args.with_stats && args.kind != Kind::Envoy && format == Format::Json {
        let why = anyhow::anyhow!("--with-stats writes comments, and JSON has none: leave one of the two off");
        return Err(WrongUsage(why).into());
    }
    plan.config = match plugin_config::configuration(args.config.as_deref())? {
        Configuration::Right(config) if args.rules.from.is_empty() => config,
        Configuration::Right(config) => {
            Some(from_mesh::configuration(args.rules.of_mesh(), config, plugin_config::remark)?)
        }
        Configuration::Wrong => {
            output::note("no manifest was written; correct the configuration first");
            return Ok(Outcome::Findings);
        }
    };
    if let Some(warning) = manifest::complete(&mut plan, applies::in_upstream_log(&args)).map_err(WrongUsage)? {
        output::note(warning);
    }
    plan.digest = digest(&args, &reference).await?;
    if let Source::Image(image) = &plan.source
        && image.is_loopback()
    {
        output::note(&format!(
            "warning: in a mesh `{}` is each proxy's own machine; give the registry's real name",
            image.host
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

/// The digest to pin: resolved where the artifact is, or with `--offline` as given.
async fn digest(args: &Manifest, reference: &Reference) -> anyhow::Result<Option<Digest>> {
    if args.offline {
        if reference.digest().is_none() {
            let who = if applies::loads_a_file(args) { "`faultline pull` fetches" } else { "the mesh runs" };
            output::note(&format!("warning: without a digest {who} whatever the tag stands for when it looks"));
        }
        return Ok(reference.digest().cloned());
    }
    let resolved = Store::open(reference, &args.transport.access())?.resolve(reference).await?;
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

/// A reference with the digest, for a command in the comments.
fn pinned(reference: &Reference, digest: Option<&Digest>) -> String {
    match (reference.digest(), digest) {
        (None, Some(digest)) => format!("{reference}@{digest}"),
        _ => reference.to_string(),
    }
}
