//! Collects what the files say about services: how many endpoints they have, where those are, and on which ports.
//!
//! The sources are ServiceEntries, with the WorkloadEntries that they select, and Services with their EndpointSlices or
//! Endpoints. What the files do not say is `None`, never a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Mesh, Resource, dns_name};
use crate::yaml::node::Node;

/// A service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    /// How many endpoints it has.
    pub(crate) endpoints: Option<usize>,
    /// Where they are (`region/zone/subzone`), if the locality of every one is known.
    pub(crate) localities: Option<BTreeSet<String>>,
    /// Its ports.
    pub(crate) ports: BTreeSet<u64>,
}

/// What the files say about all services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    services: BTreeMap<String, Service>,
    /// Every locality of an endpoint or a node in the files.
    pub(crate) localities: BTreeSet<String>,
}

/// An endpoint with an address and a locality.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Located {
    /// An IP address or a host name.
    pub(crate) address: String,
    /// `region/zone/subzone`, trailing parts optional.
    pub(crate) locality: String,
}

impl Services {
    /// Collects the services of a mesh's files.
    pub(crate) fn of(mesh: &Mesh, domain: &str) -> Self {
        let mut all = Self::default();
        all.localities.extend(located(mesh).into_iter().map(|endpoint| endpoint.locality));
        let zones = zones_of_nodes(mesh);
        all.localities.extend(zones.values().cloned());
        for entry in mesh.istio("ServiceEntry") {
            let service = of_entry(mesh, entry);
            for name in entry.node.list("spec.hosts").iter().filter_map(|host| host.text("")) {
                all.services.insert(name.to_owned(), service.clone());
            }
        }
        for resource in mesh.resources.iter().filter(|r| r.kind == "Service" && r.group.is_empty()) {
            let name = dns_name::full(&resource.name, resource.namespace(), domain);
            all.services.insert(name, of_service(mesh, resource, &zones));
        }
        all
    }

    /// A service by its full name.
    pub(crate) fn get(&self, host: &str) -> Option<&Service> {
        self.services.get(host)
    }
}

/// The endpoints of ServiceEntries and WorkloadEntries that have a locality.
pub(crate) fn located(mesh: &Mesh) -> Vec<Located> {
    let mut found = Vec::new();
    let mut add = |node: &Node| {
        if let (Some(address), Some(locality)) = (node.text("address"), node.text("locality")) {
            found.push(Located { address: address.to_owned(), locality: locality.to_owned() });
        }
    };
    for entry in mesh.istio("ServiceEntry") {
        entry.node.list("spec.endpoints").iter().for_each(&mut add);
    }
    mesh.istio("WorkloadEntry").filter_map(|entry| entry.node.at("spec")).for_each(&mut add);
    found
}

fn of_entry(mesh: &Mesh, entry: &Resource) -> Service {
    let node = &entry.node;
    let ports = node.list("spec.ports").iter().filter_map(|port| port.number("number")).collect();
    let wanted = node.map("spec.workloadSelector.labels");
    let endpoints: Vec<_> = if wanted.is_empty() {
        node.list("spec.endpoints").iter().collect()
    } else {
        let chosen = |other: &&Resource| {
            let labels = other.node.map("spec.labels");
            let has = |(key, value): &(String, Node)| {
                labels.iter().any(|(other, label)| other == key && label.text("") == value.text(""))
            };
            other.namespace() == entry.namespace() && wanted.iter().all(has)
        };
        mesh.istio("WorkloadEntry").filter(chosen).filter_map(|other| other.node.at("spec")).collect()
    };
    // If it lists no endpoints, its hosts are looked up in DNS or pods are selected, and the files do not say how many.
    if endpoints.is_empty() {
        return Service { ports, ..Service::default() };
    }
    let localities = endpoints.iter().map(|endpoint| endpoint.text("locality").map(str::to_owned)).collect();
    // A host name may resolve to any number of addresses.
    let is_address = |endpoint: &&Node| endpoint.text("address").is_some_and(|text| text.parse::<IpAddr>().is_ok());
    let count = endpoints.iter().all(is_address).then_some(endpoints.len());
    Service { endpoints: count, localities, ports }
}

fn of_service(mesh: &Mesh, service: &Resource, zones: &BTreeMap<String, String>) -> Service {
    let ports = service.node.list("spec.ports").iter().filter_map(|port| port.number("port")).collect();
    let beside = |other: &&Resource| other.namespace() == service.namespace();
    let slices: Vec<&Resource> = mesh
        .resources
        .iter()
        .filter(beside)
        .filter(|r| r.kind == "EndpointSlice")
        .filter(|r| {
            let labels = r.node.map("metadata.labels");
            labels
                .iter()
                .any(|(key, value)| key == "kubernetes.io/service-name" && value.text("") == Some(&service.name))
        })
        .collect();
    if let Some(first) = slices.first() {
        // A dual-stack service has its endpoints in slices of both address families.
        let family = |slice: &Resource| slice.node.text("addressType").map(str::to_owned);
        let of_one_family = slices.iter().filter(|slice| family(slice) == family(first));
        let endpoints: Vec<_> = of_one_family.flat_map(|slice| slice.node.list("endpoints")).collect();
        let locality = |endpoint: &&Node| endpoint.text("nodeName").and_then(|node| zones.get(node)).cloned();
        let localities: Option<BTreeSet<String>> = endpoints.iter().map(locality).collect();
        return Service { endpoints: Some(endpoints.len()), localities: localities.filter(|l| !l.is_empty()), ports };
    }
    let named = mesh.resources.iter().filter(beside).find(|r| r.kind == "Endpoints" && r.name == service.name);
    let count = named.map(|r| r.node.list("subsets").iter().map(|s| s.list("addresses").len()).sum());
    Service { endpoints: count, localities: None, ports }
}

/// Localities of the nodes in the files, by node name.
fn zones_of_nodes(mesh: &Mesh) -> BTreeMap<String, String> {
    let locality = |node: &Resource| {
        let labels = node.node.map("metadata.labels");
        let label = |name: &str| labels.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.text(""));
        let parts = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];
        let known: Vec<&str> = parts.into_iter().map_while(label).collect();
        (!known.is_empty()).then(|| (node.name.clone(), known.join("/")))
    };
    mesh.resources.iter().filter(|r| r.kind == "Node" && r.group.is_empty()).filter_map(locality).collect()
}
