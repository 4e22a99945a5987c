//! The kinds of manifest and the choices that they offer.

use clap::ValueEnum;

/// A kind of resource that carries a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
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
    /// The name that the user types.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WasmPlugin => "WasmPlugin",
            Self::TrafficExtension => "TrafficExtension",
            Self::EnvoyFilter => "EnvoyFilter",
            Self::EnvoyExtensionPolicy => "EnvoyExtensionPolicy",
            Self::HigressWasmPlugin => "HigressWasmPlugin",
            Self::Envoy => "Envoy",
        }
    }

    /// Whether the proxies are Istio's, which all have the cluster that the witness asks through by default.
    pub(crate) fn is_istio(self) -> bool {
        matches!(self, Self::WasmPlugin | Self::TrafficExtension | Self::EnvoyFilter)
    }
}

/// The plugin's position in a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilterPosition {
    /// HTTP filter, last before the router.
    Http,
    /// The router's upstream log, and the HTTP filter beside it in the same VM.
    UpstreamLog,
    /// The router's upstream log and the connection manager's access log, behind Envoy's own filter for failures.
    Lean,
}

impl FilterPosition {
    /// What `attempts` is in the configuration; `None` if it may be left out.
    pub(crate) fn attempts(self) -> Option<&'static str> {
        match self {
            Self::Http => None,
            Self::UpstreamLog => Some("upstreamLog"),
            Self::Lean => Some("failed"),
        }
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::UpstreamLog => "upstream-log",
            Self::Lean => "lean",
        }
    }
}

/// When a proxy pulls an image that it already has, in Kubernetes' terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]

pub(crate) enum PullPolicy {
    #[value(name = "IfNotPresent")]
    IfNotPresent,
    #[value(name = "Always")]
    Always,
}

impl PullPolicy {
    /// The spelling that every kind of resource uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
        }
    }
}

/// A phase of the filter chain, in Istio's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]

pub(crate) enum Phase {
    Authn,
    Authz,
    Stats,
}

impl Phase {
    /// The spelling that Istio and Higress use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authn => "AUTHN",
            Self::Authz => "AUTHZ",
            Self::Stats => "STATS",
        }
    }
}
