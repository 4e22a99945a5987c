//! The arguments of `faultline manifest`, with help and an example for each kind.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::get;
use crate::commands::options::{Rules, Transport, pair};
use crate::manifest::kind::{FilterPosition, Kind, Phase, PullPolicy};

/// The end of the help.
pub(crate) const HELP: &str = "\
The digest is asked for at the registry, so that the mesh runs exactly what is there now. --offline writes without \
asking: with the digest in REF, or without one. For a layout directory, say with --image under which name the mesh \
will pull it.

In Istio the configuration is `{\"witness\": {}}` unless another is given: the filter asks Envoy itself for the \
thresholds of every cluster. --from is needed only where Envoy cannot be asked: with --no-witness, and in Higress.

Kinds, and what they need:
  WasmPlugin            any Istio: sidecars, gateways, waypoints
  TrafficExtension      the same, for Istio 1.30 and later
  EnvoyFilter           Istio's patches, for what the two above cannot do.
                        With --position upstream-log or lean the module must
                        be a file in the proxy's container: Istio's agent
                        pulls modules for HTTP filters only
  EnvoyExtensionPolicy  Envoy Gateway; needs --target-ref
  HigressWasmPlugin     Higress: all of its gateway
  Envoy                 a whole bootstrap for an Envoy without a mesh; put
                        the module there with `faultline pull`
Exits with 3, the manifest written, if without a witness no thresholds are \
given and Envoy's defaults are assumed, or --from left rules out; and \
with no manifest if --config is wrong.

What else is to be done, and how to see that it works, stands in comments at the head of each.

Examples:
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace istio-system > faultline.yaml
  faultline manifest ghcr.io/acme/faultline:0.1.0 --selector app=checkout --config faultline.json --with-stats
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace shop --no-witness --from destinationrules.yaml
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace shop --waypoint
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind TrafficExtension --pull-secret ghcr
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind EnvoyFilter --namespace shop
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind EnvoyFilter --position lean --selector app=checkout
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind EnvoyExtensionPolicy --target-ref Gateway/edge
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind HigressWasmPlugin
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind Envoy > bootstrap.yaml
  faultline manifest oci:out:0.1.0 --image registry.example.com/mesh/faultline:0.1.0";

/// What else can be done with manifests.
#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    /// Print the artifact's own OCI manifest, as it is stored.
    #[command(after_help = get::HELP, alias = "fetch")]
    Get(Box<get::Get>),
}

/// `faultline manifest`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Manifest {
    /// Another manifest than the mesh's.
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF", required = true)]
    pub(crate) reference: Option<String>,
    /// The kind of resource; what each is for is said below.
    #[arg(long, value_enum, default_value_t = Kind::WasmPlugin, ignore_case = true)]
    pub(crate) kind: Kind,
    /// Where in the proxy: `http` is an HTTP filter, which sees each request's last attempt; `upstream-log` is the
    /// router's log of attempts with the HTTP filter beside it, which see every attempt; `lean` is the logs behind
    /// Envoy's own filter for failures, where a healthy attempt costs nothing and Envoy's counts show it. EnvoyFilter
    /// (default http) and Envoy (default lean) only.
    #[arg(long, value_enum)]
    pub(crate) position: Option<FilterPosition>,
    /// The module's file in the proxy's file system, where Envoy itself loads it: for Envoy [default:
    /// /etc/envoy/faultline.wasm], and for EnvoyFilter with --position upstream-log or lean [default:
    /// /etc/faultline/faultline.wasm].
    #[arg(long, value_name = "PATH")]
    pub(crate) module: Option<String>,
    /// Name of the resource.
    #[arg(long, default_value = "faultline")]
    pub(crate) name: String,
    /// Namespace of the resource; Istio's root namespace (istio-system) means the whole mesh.
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Only workloads with this label; can be given more than once.
    #[arg(long = "selector", value_name = "KEY=VALUE", value_parser = pair)]
    #[arg(conflicts_with_all = ["target_refs", "waypoint"])]
    pub(crate) selector: Vec<(String, String)>,
    /// Attach to this resource; can be given more than once. Istio: Gateway, GatewayClass, Service or ServiceEntry.
    /// Envoy Gateway: Gateway, ListenerSet, HTTPRoute or GRPCRoute.
    #[arg(long = "target-ref", value_name = "KIND/NAME")]
    pub(crate) target_refs: Vec<String>,
    /// Attach to a waypoint proxy, by the name of its Gateway.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "waypoint")]
    pub(crate) waypoint: Option<String>,
    /// The plugin configuration, JSON; it is validated first [default in Istio: {"witness": {}}].
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
    /// Order among plugins of the same phase, higher first [default: 0; left out, istiod would put the plugin behind
    /// all others].
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
