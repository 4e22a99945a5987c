//! Names and numbers that Istio, Kubernetes and the parts of hot-switch share.

/// Where a pod's probes are answered while they are taken over.
pub const STAND_IN_PORT: u16 = 15099;
/// pilot-agent's status port: the application's probes, rewritten by Istio, and its own readiness.
pub const AGENT_PORT: u16 = 15020;
/// Envoy's health port.
pub const HEALTH_PORT: u16 = 15021;
/// Envoy's admin interface, on loopback only.
pub const ADMIN_PORT: u16 = 15000;
/// Where Envoy takes redirected connections: outbound, inbound.
pub const PROXY_PORTS: [u16; 2] = [15001, 15006];
/// The user of a sidecar, and its group.
pub const PROXY_UID: u32 = 1337;
/// A response header of the stand-in, so that it is never taken for the proxy.
pub const STAND_IN_HEADER: &str = "x-hot-switch";
/// The environment variable in which Istio keeps an application's original probes.
pub const APP_PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";
/// The name of a sidecar's container.
pub const PROXY_CONTAINER: &str = "istio-proxy";

/// Namespaces whose pods are the mesh's or the system's own: they are never touched.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["istio-system", "kube-system", "faultline-hot-switch"];

/// The annotation by which a pod opts in: `off`, `report` or `act`.
pub const MODE: &str = "hot-switch.faultline.dev/mode";
/// The annotation that says which traffic: `both`, `inbound` or `outbound`.
pub const DIRECTIONS: &str = "hot-switch.faultline.dev/directions";
/// The annotation that allows to lose policy: `true`.
pub const ALLOW_UNPROTECTED: &str = "hot-switch.faultline.dev/allow-unprotected";
/// The annotation of a pod's ambient redirection.
pub const AMBIENT: &str = "ambient.istio.io/redirection";
/// The annotation by which the injector says which revision of istiod it belongs to.
pub const REVISION: &str = "istio.io/rev";
/// The label by which callers decide whether to speak mTLS to a pod.
pub const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The label by which callers that use HBONE decide whether to reach a pod through its tunnel.
pub const TUNNEL: &str = "networking.istio.io/tunnel";
/// The controller's record of what it granted: the moment that names the wish, in milliseconds since 1970.
pub const GRANTED_AT: &str = "hot-switch.faultline.dev/granted-at";
/// The controller's record of why.
pub const WHY: &str = "hot-switch.faultline.dev/why";
/// The controller's record of the image that the stand-in replaced.
pub const ORIGINAL_IMAGE: &str = "hot-switch.faultline.dev/original-image";
/// The controller's record of the label as it was.
pub const ORIGINAL_TLS_MODE: &str = "hot-switch.faultline.dev/original-tls-mode";
/// The controller's record of the tunnel's label as it was.
pub const ORIGINAL_TUNNEL: &str = "hot-switch.faultline.dev/original-tunnel";
/// What a node's agent wants, on the Lease of its node.
pub const ASKS: &str = "hot-switch.faultline.dev/asks";
/// What the controller says to that, on the same Lease.
pub const ANSWERS: &str = "hot-switch.faultline.dev/answers";
/// The Lease by which one of the controllers leads.
pub const LEADER: &str = "hot-switch-controller";
/// A person's word on that Lease: what fails now is to be bypassed, though much of the mesh fails at once.
pub const ALL_FAILED: &str = "hot-switch.faultline.dev/all-failed";
/// The label of all agents' Leases.
pub const COMPONENT: (&str, &str) = ("hot-switch.faultline.dev/component", "agent");
