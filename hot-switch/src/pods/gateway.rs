//! What tells a gateway from an application: its proxy is the application, and there is nothing to reach past it.

use crate::names;

/// Labels of what is made for a Gateway.
const OF_A_GATEWAY: [&str; 3] =
    ["gateway.networking.k8s.io/gateway-name", "istio.io/gateway-name", "gateway.istio.io/managed"];

/// The annotation that names the injector's templates.
pub const TEMPLATES: &str = "inject.istio.io/templates";

/// A container: its name and its arguments.
#[derive(Clone, Debug)]
pub struct Container {
    /// The name.
    pub name: String,
    /// The arguments.
    pub args: Vec<String>,
}

/// Why a pod, or the pods of a template, are a gateway's or a waypoint's; `None` if they are not. `label` reads a
/// label, and `templates` is the annotation [`TEMPLATES`].
pub fn gateway<'a>(
    label: impl Fn(&str) -> Option<&'a str>,
    templates: Option<&str>,
    containers: &[Container],
) -> Option<&'static str> {
    if OF_A_GATEWAY.iter().any(|name| label(name).is_some()) {
        return Some("its labels name the Gateway that it is for");
    }
    if templates.is_some_and(|it| it.split(',').any(|it| it.trim() == "gateway")) {
        return Some("it is made from the injector's template `gateway`");
    }
    if label("istio").is_some_and(|istio| istio.ends_with("gateway")) {
        return Some("its label `istio` says so");
    }
    let is_proxy = |container: &&Container| container.name == names::PROXY_CONTAINER;
    if !containers.is_empty() && containers.iter().all(|container| is_proxy(&container)) {
        return Some("it has no container but the proxy");
    }
    let is_router = containers.iter().find(is_proxy).is_some_and(|proxy| proxy.args.iter().any(|arg| arg == "router"));
    is_router.then_some("its proxy runs as a router")
}
