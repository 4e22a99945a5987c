//! What can be typed after `faultline manifest`, with help and an example for each kind.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::commands::options::{Transport, pair};
use crate::from;

/// What the help ends with.
pub const HELP: &str = "\
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
pub struct Manifest {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The kind of resource; what each is for is said below.
    #[arg(long, value_enum, default_value_t = Kind::WasmPlugin, ignore_case = true)]
    pub kind: Kind,
    /// Where in the proxy: `http` is an HTTP filter, which sees each request's last attempt; `upstream-log` is the router's log of
    /// attempts with the HTTP filter beside it, which see every attempt. EnvoyFilter (default http) and Envoy (default
    /// upstream-log) only.
    #[arg(long, value_enum)]
    pub position: Option<Position>,
    /// The module's file in the proxy's file system, where Envoy itself loads it: for Envoy [default: /etc/envoy/faultline.wasm],
    /// and for EnvoyFilter with --position upstream-log [default: /etc/faultline/faultline.wasm].
    #[arg(long, value_name = "PATH")]
    pub module: Option<String>,
    /// Name of the resource.
    #[arg(long, default_value = "faultline")]
    pub name: String,
    /// Namespace of the resource; Istio's root namespace (istio-system) means the whole mesh.
    #[arg(long)]
    pub namespace: Option<String>,
    /// Only workloads with this label; can be given more than once.
    #[arg(long = "selector", value_name = "KEY=VALUE", value_parser = pair, conflicts_with_all = ["target_refs", "waypoint"])]
    pub selector: Vec<(String, String)>,
    /// Attach to this resource; can be given more than once. Istio: Gateway, GatewayClass, Service or ServiceEntry. Envoy Gateway:
    /// Gateway, ListenerSet, HTTPRoute or GRPCRoute.
    #[arg(long = "target-ref", value_name = "KIND/NAME")]
    pub target_refs: Vec<String>,
    /// Attach to a waypoint proxy, by the name of its Gateway.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "waypoint")]
    pub waypoint: Option<String>,
    /// The plugin configuration, JSON; it is validated first.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Pull secret, of type kubernetes.io/dockerconfigjson, in the same namespace.
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Option<String>,
    /// When proxies pull again; with a digest it makes no difference. Istio's own default is IfNotPresent.
    #[arg(long, value_enum, ignore_case = true)]
    pub image_pull_policy: Option<PullPolicy>,
    /// Place in the filter chain; the default is last before the router.
    #[arg(long, value_enum, ignore_case = true)]
    pub phase: Option<Phase>,
    /// Order among plugins of the same phase, higher first [default: 0; left out, istiod would put the plugin behind all others].
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Say also what makes the metrics' labels, and Envoy's own counters of ejections, appear in Prometheus.
    #[arg(long)]
    pub with_stats: bool,
    /// The name under which the mesh will pull what is in a layout directory.
    #[arg(long, value_name = "registry/repo:tag")]
    pub image: Option<String>,
    /// Do not ask the registry for the digest.
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub rules: from::Rules,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

/// A kind of resource that carries a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `extensions.istio.io/v1alpha1`, every Istio.
    #[value(name = "WasmPlugin")]
    WasmPlugin,
    /// `extensions.istio.io/v1alpha1`, Istio 1.30 and later.
    #[value(name = "TrafficExtension")]
    TrafficExtension,
    /// `networking.istio.io/v1alpha3`.
    #[value(name = "EnvoyFilter")]
    EnvoyFilter,
    /// `gateway.envoyproxy.io/v1alpha1`.
    #[value(name = "EnvoyExtensionPolicy")]
    EnvoyExtensionPolicy,
    /// `extensions.higress.io/v1alpha1`, kind WasmPlugin.
    #[value(name = "HigressWasmPlugin")]
    HigressWasmPlugin,
    /// Envoy's own bootstrap.
    #[value(name = "Envoy")]
    Envoy,
}

impl Kind {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
            Self::EnvoyFilter => "EnvoyFilter",
            Self::EnvoyExtensionPolicy => "EnvoyExtensionPolicy",
            Self::HigressWasmPlugin => "HigressWasmPlugin",
            Self::Envoy => "Envoy",
        }
    }
}

/// Where in a proxy the plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Position {
    /// HTTP filter, last before the router.
    Http,
    /// The router's upstream log, and the HTTP filter beside it in the same VM.
    UpstreamLog,
}

/// When a proxy pulls an image that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // Kubernetes' own names
pub enum PullPolicy {
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    #[value(name = "Always")]
    Always,
}

impl PullPolicy {
    /// As every kind of resource spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
        }
    }
}

/// A place in Istio's filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // Istio's own names
pub enum Phase {
    Authn,
    Authz,
    Stats,
}

impl Phase {
    /// As Istio and Higress spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authn => "AUTHN",
            Self::Authz => "AUTHZ",
            Self::Stats => "STATS",
        }
    }
}
