//! Whether the pods of a workload have a sidecar, or will have one, as Istio's injector decides.

use mesh::Mesh;
use mesh::yaml::node::Node;

use super::workload::{PROXY, Pairs, Workload, pairs};
use crate::pods::gateway;

/// How it is known that pods have a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sidecar {
    /// It is there, as a container.
    Container,
    /// It is there, as a native sidecar: an init container that keeps running.
    Native,
    /// The injector adds it.
    Injected,
    /// The files do not have what decides it; it is taken for there.
    Assumed,
    /// There is none.
    None(&'static str),
}

impl Sidecar {
    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Container => "istio-proxy, a container",
            Self::Native => "istio-proxy, a native sidecar",
            Self::Injected => "istio-proxy, added when pods are made",
            Self::Assumed => "istio-proxy, assumed: the namespace is not among the files",
            Self::None(_) => "none",
        }
    }
}

/// A namespace, if it is among the files; of several versions the last.
pub(crate) fn namespace<'a>(mesh: &'a Mesh, name: &str) -> Option<&'a Node> {
    let mut namespaces = mesh.resources.iter().rev().filter(|it| it.kind == "Namespace" && it.group.is_empty());
    namespaces.find(|it| it.name == name).map(|it| &it.node)
}

/// Whether the pods of a workload have a sidecar.
pub(crate) fn of(workload: &Workload<'_>, mesh: &Mesh) -> Sidecar {
    let pod = workload.pod();
    let named = |path: &str| pod.list(path).iter().any(|container| container.text("name") == Some(PROXY));
    if named("spec.containers") {
        return Sidecar::Container;
    }
    if named("spec.initContainers") {
        return Sidecar::Native;
    }
    if !workload.pods.is_empty() {
        return Sidecar::None("its pods have no container `istio-proxy`");
    }
    if is_host_network(workload) {
        return Sidecar::None("the injector leaves pods in the node's network alone");
    }
    let own = workload.labels.get("sidecar.istio.io/inject").copied();
    let own = own.or_else(|| workload.annotations.get("sidecar.istio.io/inject").copied());
    if own == Some("false") {
        return Sidecar::None("`sidecar.istio.io/inject` is `false`");
    }
    let asks = own == Some("true") || workload.labels.contains_key("istio.io/rev");
    let Some(namespace) = namespace(mesh, workload.namespace()) else {
        return if asks { Sidecar::Injected } else { Sidecar::Assumed };
    };
    let labels = pairs(namespace, "metadata.labels");
    match labels.get("istio-injection").copied() {
        Some("enabled") => Sidecar::Injected,
        Some("disabled") => Sidecar::None("its namespace has `istio-injection: disabled`"),
        _ if labels.contains_key("istio.io/rev") || asks => Sidecar::Injected,
        _ => Sidecar::None("nothing asks the injector for one"),
    }
}

/// Whether ztunnel takes the pods' traffic: the namespace or the pods ask for it, or the pods say that it is so.
pub(crate) fn is_ambient(workload: &Workload<'_>, mesh: &Mesh) -> bool {
    const MODE: &str = "istio.io/dataplane-mode";
    if workload.annotations.get("ambient.istio.io/redirection") == Some(&"enabled") {
        return true;
    }
    let has_sidecar = matches!(of(workload, mesh), Sidecar::Container | Sidecar::Native | Sidecar::Injected);
    let of_namespace =
        || namespace(mesh, workload.namespace()).and_then(|it| pairs(it, "metadata.labels").get(MODE).copied());
    let mode = workload.labels.get(MODE).copied().or_else(of_namespace);
    mode == Some("ambient") && !has_sidecar
}

/// Whether pods are in the network namespace of their node.
pub(crate) fn is_host_network(workload: &Workload<'_>) -> bool {
    workload.pod().flag("spec.hostNetwork") == Some(true)
}

/// Why a workload is a gateway or waypoint, if it is.
pub(crate) fn gateway(workload: &Workload<'_>) -> Option<&'static str> {
    let container = |container: &Node| gateway::Container {
        name: container.text("name").unwrap_or_default().to_owned(),
        args: container.list("args").iter().filter_map(|arg| arg.text("")).map(str::to_owned).collect(),
    };
    let containers: Vec<_> = workload.pod().list("spec.containers").iter().map(container).collect();
    let templates = workload.annotations.get(gateway::TEMPLATES).copied();
    gateway::gateway(|key| workload.labels.get(key).copied(), templates, &containers)
}

/// Whether the application starts only when its sidecar is well: how that is said.
pub(crate) fn is_waited_for(sidecar: Sidecar, annotations: &Pairs<'_>, mesh: &Mesh) -> Option<&'static str> {
    const FIELD: &str = "holdApplicationUntilProxyStarts";
    let of_pod = annotations.get("proxy.istio.io/config").and_then(|text| mesh::yaml::read(text).ok());
    let of_pod = of_pod.and_then(|nodes| nodes.first().and_then(|node| node.flag(FIELD)));
    let of_mesh = || mesh.mesh_configs().find_map(|it| it.node.flag("defaultConfig.holdApplicationUntilProxyStarts"));
    match sidecar {
        Sidecar::Native => Some("its sidecar is a native one"),
        _ if of_pod.or_else(of_mesh) == Some(true) => Some("`holdApplicationUntilProxyStarts` is set"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::collect;
    use super::*;

    /// The sidecar of the only workload in a text.
    fn sidecar(namespace: &str, labels: &str, spec: &str) -> Sidecar {
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{{namespace}}}}}\n---\napiVersion: \
             apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec: {{template: {{metadata: \
             {{labels: {{{labels}}}}}, spec: {{{spec}}}}}}}\n"
        );
        let mesh = Mesh::of_text(&text);
        let (all, _) = collect(&mesh);
        of(&all[0], &mesh)
    }

    #[test]
    fn injection_is_decided_as_the_injector_does() {
        let none = |sidecar| matches!(sidecar, Sidecar::None(_));
        assert_eq!(sidecar("istio-injection: enabled", "", ""), Sidecar::Injected);
        assert_eq!(sidecar("istio.io/rev: stable", "", ""), Sidecar::Injected);
        assert_eq!(sidecar("", "sidecar.istio.io/inject: 'true'", ""), Sidecar::Injected);
        assert!(none(sidecar("istio-injection: enabled", "sidecar.istio.io/inject: 'false'", "")));
        assert!(none(sidecar("istio-injection: disabled", "sidecar.istio.io/inject: 'true'", "")));
        assert!(none(sidecar("istio-injection: enabled", "", "hostNetwork: true")));
        assert!(none(sidecar("", "", "")));
        assert_eq!(sidecar("", "", "containers: [{name: web}, {name: istio-proxy}]"), Sidecar::Container);
        assert_eq!(sidecar("", "", "initContainers: [{name: istio-proxy}]"), Sidecar::Native);
    }
}
