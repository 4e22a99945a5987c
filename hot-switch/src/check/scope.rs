//! The Sidecar resource that holds for a workload, and which hosts it lets the proxy know.

use mesh::yaml::node::Node;
use mesh::{Mesh, Resource, dns_name};

use super::workload::{Workload, has_all, pairs};

/// The Sidecar resource for a workload: the first that selects it, else its namespace's, else the mesh's.
pub(crate) fn of<'a>(workload: &Workload<'_>, mesh: &'a Mesh) -> Option<&'a Resource> {
    let all = mesh.distinct("Sidecar");
    let selector = |it: &Resource| !it.node.map("spec.workloadSelector.labels").is_empty();
    let chosen = |it: &Resource| has_all(&workload.labels, &pairs(&it.node, "spec.workloadSelector.labels"));
    let own = |it: &Resource| it.namespace() == workload.namespace();
    let find = |wanted: &dyn Fn(&Resource) -> bool| all.iter().copied().find(|it| wanted(it));
    find(&|it| own(it) && selector(it) && chosen(it))
        .or_else(|| find(&|it| own(it) && !selector(it)))
        .or_else(|| find(&|it| it.namespace() == mesh.root() && !selector(it)))
}

/// Whether a Sidecar resource lets the proxy know a host of a namespace; without one, it knows all.
pub(crate) fn knows(scope: Option<&Resource>, workload: &Workload<'_>, namespace: &str, host: &str) -> bool {
    let Some(scope) = scope.filter(|it| !it.node.list("spec.egress").is_empty()) else { return true };
    let names = |from: &str, pattern: &str| {
        let from_here = match from {
            "*" => true,
            "." => namespace == workload.namespace(),
            _ => from == namespace,
        };
        from_here && dns_name::covers(pattern, host)
    };
    // A tilde before a namespace takes its hosts out again (Istio 1.31); alone, those of every namespace.
    let knows = |listener: &Node| {
        let hosts: Vec<(&str, &str)> =
            listener.list("hosts").iter().filter_map(|host| host.text("")?.split_once('/')).collect();
        let is_out = |(from, pattern): &(&str, &str)| match from.strip_prefix('~') {
            Some("") => names("*", pattern),
            Some(from) => names(from, pattern),
            None => false,
        };
        hosts.iter().any(|(from, pattern)| names(from, pattern)) && !hosts.iter().any(is_out)
    };
    scope.node.list("spec.egress").iter().any(knows)
}

/// Listeners of the sidecar to which the application connects itself: it knows their address, not that of the peer.
pub(crate) fn own_listeners(scope: &Resource) -> Vec<String> {
    let is_own = |it: &&Node| it.text("captureMode") == Some("NONE") || it.text("bind").is_some();
    let address = |it: &Node| {
        let port = it.number("port.number").map_or_else(|| "any port".to_owned(), |port| port.to_string());
        format!("{}:{port}", it.text("bind").unwrap_or("127.0.0.1"))
    };
    scope.node.list("spec.egress").iter().filter(is_own).map(address).collect()
}

/// Ports on which the sidecar takes requests for an application that listens elsewhere: the port, and where.
pub(crate) fn moved_ports(scope: &Resource) -> Vec<(u64, &str)> {
    let moved = |it: &'_ Node| {
        let port = it.number("port.number")?;
        Some((port, port.to_string()))
    };
    let of = scope.node.list("spec.ingress").iter().filter_map(|it| {
        let ((port, text), end) = (moved(it)?, it.text("defaultEndpoint")?);
        let ends_there = end.rsplit_once(':').is_some_and(|(host, end)| end == text && host != "127.0.0.1");
        (!ends_there).then_some((port, end))
    });
    of.collect()
}
