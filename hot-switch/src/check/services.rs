//! The Services in the files: whom they select, and on which ports of the pods they end.

use mesh::dns_name;
use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

use super::workload::{Pairs, Workload, has_all, pairs};

/// A port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port<'a> {
    /// The number that callers use.
    pub(crate) number: u64,
    /// The number in the pod, or its name there.
    pub(crate) target: Target<'a>,
}

/// Where a port of a Service ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// At this port.
    Number(u64),
    /// At the container's port of this name.
    Name(&'a str),
}

impl Target<'_> {
    /// The number in the pods of a workload.
    pub(crate) fn in_pods_of(self, workload: &Workload<'_>) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Name(name) => {
                let mut ports = workload.applications().flat_map(|it| it.list("ports"));
                ports.find(|port| port.text("name") == Some(name))?.number("containerPort")
            }
        }
    }
}

/// A Service.
#[derive(Clone, Debug)]
pub(crate) struct Service<'a> {
    /// The resource.
    pub(crate) resource: &'a Resource,
    /// Its full name.
    pub(crate) host: String,
    /// Its TCP ports.
    pub(crate) ports: Vec<Port<'a>>,
    /// The labels that it selects; empty where its endpoints are written by hand.
    pub(crate) selector: Pairs<'a>,
    /// Whether it has no address of its own.
    pub(crate) is_headless: bool,
}

impl<'a> Service<'a> {
    fn of(resource: &'a Resource, domain: &str) -> Self {
        let node = &resource.node;
        let is_tcp = |port: &&Node| matches!(port.text("protocol"), None | Some("TCP"));
        let port = |port: &'a Node| {
            let number = port.number("port")?;
            let named = port.text("targetPort").map(Target::Name);
            let target = named.or(port.number("targetPort").map(Target::Number)).unwrap_or(Target::Number(number));
            Some(Port { number, target })
        };
        Self {
            resource,
            host: dns_name::full(&resource.name, resource.namespace(), domain),
            ports: node.list("spec.ports").iter().filter(is_tcp).filter_map(port).collect(),
            selector: pairs(node, "spec.selector"),
            is_headless: node.text("spec.clusterIP") == Some("None"),
        }
    }

    /// Its name as people write it: `reviews.shop`.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.resource.name, self.resource.namespace())
    }

    /// A port of it: `reviews.shop:9080`.
    pub(crate) fn at(&self, port: Port<'_>) -> String {
        format!("{}:{}", self.name(), port.number)
    }

    /// Whether it selects the pods of a workload.
    pub(crate) fn selects(&self, workload: &Workload<'_>) -> bool {
        let is_near = self.resource.namespace() == workload.namespace() && !self.selector.is_empty();
        is_near && has_all(&workload.labels, &self.selector)
    }
}

/// The Services in the files; those of type ExternalName are only other names.
pub(crate) fn all<'a>(mesh: &'a Mesh, domain: &str) -> Vec<Service<'a>> {
    let resources = mesh.distinct_in("", "Service").into_iter();
    let own = resources.filter(|it| it.node.text("spec.type") != Some("ExternalName"));
    own.map(|resource| Service::of(resource, domain)).collect()
}
