//! Collects what the files say about services: their endpoints, where those are, and on which ports.
//!
//! The sources are ServiceEntries, with the WorkloadEntries that they select, and Services with their EndpointSlices or
//! Endpoints. What the files do not say is `None`, never a guess. What a cluster's own objects say is a lower bound: a
//! mesh may have other clusters, whose endpoints istiod adds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Mesh, Resource, dns_name};
use crate::yaml::node::Node;

/// How a sidecar finds a service's endpoints: istiod's `convertResolution`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// istiod tells the endpoints, or DNS all of them.
    #[default]
    Endpoints,
    /// A Kubernetes Service without an address: to the address that the client chose.
    Headless,
    /// A ServiceEntry with `resolution: NONE`, the default: to the address that the client chose.
    Passthrough,
    /// `DNS_ROUND_ROBIN`: to whichever address DNS tells first, as one endpoint.
    OneOfDns,
    /// A Service of type ExternalName: another name for what it names, and no cluster of its own.
    Alias,
}

/// An endpoint, as far as the files tell.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// `region/zone/subzone`, trailing parts optional.
    pub locality: Option<String>,
    /// Its labels; `None`: the files do not tell them.
    labels: Option<BTreeMap<String, String>>,
    /// Whether it has no locality for certain, neither of its own nor of a node.
    pub is_nowhere: bool,
    /// Whether it is one address; a host name may resolve to any number.
    is_address: bool,
}

impl Endpoint {
    /// Whether it has all of these labels; `None` if that is not known.
    pub fn has(&self, labels: &[(&str, &str)]) -> Option<bool> {
        has_all(self.labels.as_ref()?, labels)
    }
}

/// Labels that istiod, Kubernetes or Argo Rollouts add to an endpoint, beyond those that files show: a key, or with `/`
/// at its end the beginning of one.
const ADDED: [&str; 8] = [
    "topology.istio.io/",
    "topology.kubernetes.io/",
    "kubernetes.io/",
    "apps.kubernetes.io/",
    "statefulset.kubernetes.io/",
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "controller-revision-hash",
];

fn is_added(label: &str) -> bool {
    ADDED.iter().any(|added| label == *added || (added.ends_with('/') && label.starts_with(added)))
}

/// Whether something with the labels `own` has all of `wanted`; `None` if that depends on one that is added at run
/// time.
fn has_all(own: &BTreeMap<String, String>, wanted: &[(&str, &str)]) -> Option<bool> {
    let of_one = |(key, value): &(&str, &str)| match own.get(*key) {
        Some(label) => Some(label == value),
        None if is_added(key) => None,
        None => Some(false),
    };
    let of_each: Vec<Option<bool>> = wanted.iter().map(of_one).collect();
    if of_each.contains(&Some(false)) {
        Some(false)
    } else {
        of_each.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
    }
}

/// A service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// The namespaces in which it is defined.
    pub namespaces: BTreeSet<String>,
    /// Its endpoints, if the files tell them.
    pub endpoints: Option<Vec<Endpoint>>,
    /// Whether these are all for certain.
    pub is_complete: bool,
    /// Its ports.
    pub ports: BTreeSet<u64>,
    /// How a sidecar finds its endpoints.
    pub discovery: Discovery,
    /// Whether Envoy looks up each endpoint in DNS: a ServiceEntry with `resolution: DNS`.
    pub is_dns: bool,
    /// The labels of the pods that its workloads (Deployments and the like) in the files will have.
    templates: Vec<BTreeMap<String, String>>,
}

impl Service {
    /// How many endpoints the files tell, if each is one address.
    pub fn count(&self) -> Option<usize> {
        let endpoints = self.endpoints.as_ref()?;
        endpoints.iter().all(|endpoint| endpoint.is_address).then_some(endpoints.len())
    }

    /// The localities of its endpoints, if the locality of every one is known.
    pub fn localities(&self) -> Option<BTreeSet<&str>> {
        let endpoints = self.endpoints.as_ref().filter(|endpoints| !endpoints.is_empty())?;
        endpoints.iter().map(|endpoint| endpoint.locality.as_deref()).collect()
    }

    /// The localities of the endpoints that may have these labels; `None`: endpoints without one.
    pub fn places_with(&self, labels: &[(&str, &str)]) -> BTreeSet<Option<&str>> {
        let endpoints = self.endpoints.iter().flatten().filter(|endpoint| endpoint.has(labels) != Some(false));
        endpoints.map(|endpoint| endpoint.locality.as_deref()).collect()
    }

    /// How many endpoints a subset with these labels has; where the files do not tell labels, at most that many.
    pub fn count_with(&self, labels: &[(&str, &str)]) -> Option<usize> {
        let all = self.count()?;
        let of_each: Option<Vec<bool>> = self.endpoints.iter().flatten().map(|endpoint| endpoint.has(labels)).collect();
        Some(of_each.map_or(all, |has| has.into_iter().filter(|has| *has).count()))
    }

    /// Whether an endpoint has all of these labels, or a pod of its workloads where the files have no endpoints;
    /// `None`: the files do not tell.
    pub fn has_any_with(&self, labels: &[(&str, &str)]) -> Option<bool> {
        let known: Vec<Option<bool>> = match self.endpoints.iter().flatten().next() {
            Some(_) => self.endpoints.iter().flatten().map(|endpoint| endpoint.has(labels)).collect(),
            None => self.templates.iter().map(|own| has_all(own, labels)).collect(),
        };
        let is_told = !known.is_empty() && !known.contains(&None);
        is_told.then(|| known.contains(&Some(true)))
    }

    fn add(&mut self, other: Self) {
        self.namespaces.extend(other.namespaces);
        self.templates.extend(other.templates);
        self.ports.extend(other.ports);
        self.is_complete &= other.is_complete;
        self.is_dns |= other.is_dns;
        self.endpoints = match (self.endpoints.take(), other.endpoints) {
            (Some(mut own), Some(more)) => {
                own.extend(more);
                Some(own)
            }
            _ => None,
        };
    }
}

/// What the files say about all services.
#[derive(Debug, Default)]
pub struct Services {
    services: BTreeMap<String, Service>,
    /// Every locality of an endpoint or a node in the files.
    pub localities: BTreeSet<String>,
}

/// An endpoint with an address and a locality.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// An IP address or a host name.
    pub address: String,
    /// `region/zone/subzone`, trailing parts optional.
    pub locality: String,
}

impl Services {
    /// Collects the services of a mesh's files.
    pub fn of(mesh: &Mesh, domain: &str) -> Self {
        let mut all = Self::default();
        all.localities.extend(located(mesh).into_iter().map(|endpoint| endpoint.locality));
        let beside = Beside::of(mesh);
        all.localities.extend(beside.zones.values().cloned());
        for entry in mesh.distinct("ServiceEntry") {
            let service = of_entry(&beside, entry);
            for name in entry.node.list("spec.hosts").iter().filter_map(|host| host.text("")) {
                all.add(name.to_owned(), service.clone());
            }
        }
        for resource in mesh.distinct_kubernetes("Service").into_iter().filter(|service| service.group.is_empty()) {
            let name = dns_name::full(&resource.name, resource.namespace(), domain);
            all.add(name, of_service(&beside, resource));
        }
        all
    }

    fn add(&mut self, name: String, service: Service) {
        match self.services.get_mut(&name) {
            Some(known) => known.add(service),
            None => drop(self.services.insert(name, service)),
        }
    }

    /// A service by its full name.
    pub fn get(&self, host: &str) -> Option<&Service> {
        self.services.get(host)
    }

    /// The namespaces in which the service with this full name is defined: as its name has it, or as the files tell.
    pub fn namespaces_of<'a>(&'a self, host: &'a str, domain: &str) -> Vec<&'a str> {
        match dns_name::namespace_of(host, domain) {
            Some(namespace) => vec![namespace],
            None => self.get(host).into_iter().flat_map(|service| &service.namespaces).map(String::as_str).collect(),
        }
    }

    /// All services by full name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.services.iter().map(|(name, service)| (name.as_str(), service))
    }
}

/// The endpoints of ServiceEntries and WorkloadEntries that have a locality.
pub fn located(mesh: &Mesh) -> Vec<Located> {
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

/// What services are joined with, by namespace and name, so that each is looked at once.
struct Beside<'a> {
    /// Localities of the nodes.
    zones: BTreeMap<String, String>,
    slices: HashMap<(&'a str, &'a str), Vec<&'a Resource>>,
    endpoints: HashMap<(&'a str, &'a str), &'a Resource>,
    pods: HashMap<(&'a str, &'a str), &'a Resource>,
    workloads: HashMap<&'a str, Vec<&'a Resource>>,
    /// Labels of pods that workloads will have, by namespace.
    templates: HashMap<&'a str, Vec<BTreeMap<String, String>>>,
}

/// Kinds that make pods, with the path of the pods' labels.
const WORKLOADS: [(&str, &str); 5] = [
    ("Deployment", "spec.template.metadata.labels"),
    ("StatefulSet", "spec.template.metadata.labels"),
    ("DaemonSet", "spec.template.metadata.labels"),
    ("ReplicaSet", "spec.template.metadata.labels"),
    ("Pod", "metadata.labels"),
];

impl<'a> Beside<'a> {
    fn of(mesh: &'a Mesh) -> Self {
        let by_name = |kind| {
            let all = mesh.distinct_kubernetes(kind).into_iter();
            all.map(|resource| ((resource.namespace(), resource.name.as_str()), resource)).collect()
        };
        let mut slices: HashMap<_, Vec<&Resource>> = HashMap::new();
        for slice in mesh.distinct_kubernetes("EndpointSlice") {
            let labels = slice.node.map("metadata.labels");
            let service = labels.iter().find(|(key, _)| key == "kubernetes.io/service-name");
            if let Some(name) = service.and_then(|(_, value)| value.text("")) {
                slices.entry((slice.namespace(), name)).or_default().push(slice);
            }
        }
        let mut workloads: HashMap<_, Vec<&Resource>> = HashMap::new();
        for workload in mesh.distinct("WorkloadEntry") {
            workloads.entry(workload.namespace()).or_default().push(workload);
        }
        let mut templates: HashMap<_, Vec<_>> = HashMap::new();
        for resource in &mesh.resources {
            let path = WORKLOADS.iter().find(|(kind, _)| *kind == resource.kind).map(|(_, path)| *path);
            if let Some(path) = path.filter(|_| matches!(resource.group.as_str(), "" | "apps")) {
                templates.entry(resource.namespace()).or_default().push(labels(&resource.node, path));
            }
        }
        let (endpoints, pods) = (by_name("Endpoints"), by_name("Pod"));
        Self { zones: zones_of_nodes(mesh), slices, endpoints, pods, workloads, templates }
    }

    /// The labels of the pods that a Service selects, as the workloads in the files will make them.
    fn templates_of(&self, service: &Resource) -> Vec<BTreeMap<String, String>> {
        let selector = labels(&service.node, "spec.selector");
        let is_selected =
            |own: &&BTreeMap<String, String>| selector.iter().all(|(key, value)| own.get(key) == Some(value));
        let all = self.templates.get(service.namespace()).into_iter().flatten();
        all.filter(|own| !selector.is_empty() && is_selected(own)).cloned().collect()
    }

    /// An endpoint of a slice or of Endpoints.
    fn endpoint(&self, namespace: &str, node: &Node) -> Endpoint {
        let pod = node.text("targetRef.name").and_then(|name| self.pods.get(&(namespace, name)));
        Endpoint {
            locality: node.text("nodeName").and_then(|node| self.zones.get(node)).cloned(),
            is_nowhere: node.text("nodeName").is_none() && node.text("targetRef.name").is_none(),
            labels: pod.map(|pod| labels(&pod.node, "metadata.labels")),
            is_address: true,
        }
    }
}

fn labels(node: &Node, path: &str) -> BTreeMap<String, String> {
    let text = |(key, value): &(String, Node)| Some((key.clone(), value.text("")?.to_owned()));
    node.map(path).iter().filter_map(text).collect()
}

fn of_entry(beside: &Beside<'_>, entry: &Resource) -> Service {
    let node = &entry.node;
    let discovery = match node.text("spec.resolution") {
        Some("STATIC" | "DNS" | "DYNAMIC_DNS") => Discovery::Endpoints,
        Some("DNS_ROUND_ROBIN") => Discovery::OneOfDns,
        _ => Discovery::Passthrough,
    };
    let endpoint = |node: &Node| {
        let labels = labels(node, "labels");
        let label = labels.get("istio-locality").map(|label| label.replace('.', "/"));
        let locality = node.text("locality").map(str::to_owned).or(label);
        let is_address = node.text("address").is_some_and(|text| text.parse::<IpAddr>().is_ok());
        Endpoint { is_nowhere: locality.is_none(), locality, labels: Some(labels), is_address }
    };
    let wanted = labels(node, "spec.workloadSelector.labels");
    let endpoints: Vec<Endpoint> = if wanted.is_empty() {
        node.list("spec.endpoints").iter().map(endpoint).collect()
    } else {
        let wanted: Vec<(&str, &str)> = wanted.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let all = beside.workloads.get(entry.namespace()).into_iter().flatten();
        let all = all.filter_map(|other| other.node.at("spec")).map(endpoint);
        all.filter(|endpoint| endpoint.has(&wanted) == Some(true)).collect()
    };
    let endpoints = match (endpoints.is_empty(), node.text("spec.resolution")) {
        (false, _) => Some(endpoints),
        // Its hosts are looked up in DNS, are nowhere and have no labels.
        (true, Some("DNS" | "DNS_ROUND_ROBIN")) if wanted.is_empty() => {
            Some(vec![Endpoint { is_nowhere: true, labels: Some(BTreeMap::new()), ..Endpoint::default() }])
        }
        // Pods are selected, or the client's address is taken: the files do not say how many.
        (true, _) => None,
    };
    Service {
        namespaces: BTreeSet::from([entry.namespace().to_owned()]),
        endpoints,
        // Selected are pods too, and those that register themselves.
        is_complete: wanted.is_empty(),
        ports: node.list("spec.ports").iter().filter_map(|port| port.number("number")).collect(),
        discovery,
        is_dns: node.text("spec.resolution") == Some("DNS"),
        templates: Vec::new(),
    }
}

fn of_service(beside: &Beside<'_>, service: &Resource) -> Service {
    let is_headless = service.node.text("spec.clusterIP") == Some("None");
    let key = (service.namespace(), service.name.as_str());
    let of = |node: &Node| beside.endpoint(service.namespace(), node);
    let endpoints = match (beside.slices.get(&key), beside.endpoints.get(&key)) {
        (Some(slices), _) => {
            // A dual-stack service has its endpoints in slices of both address families.
            let family = |slice: &Resource| slice.node.text("addressType").map(str::to_owned);
            let first = slices.first().and_then(|slice| family(slice));
            let of_one_family = slices.iter().filter(|slice| family(slice) == first);
            Some(of_one_family.flat_map(|slice| slice.node.list("endpoints")).map(of).collect())
        }
        (None, Some(named)) => {
            Some(named.node.list("subsets").iter().flat_map(|subset| subset.list("addresses")).map(of).collect())
        }
        (None, None) => None,
    };
    Service {
        namespaces: BTreeSet::from([service.namespace().to_owned()]),
        endpoints,
        is_complete: false,
        ports: service.node.list("spec.ports").iter().filter_map(|port| port.number("port")).collect(),
        discovery: match service.node.text("spec.type") {
            Some("ExternalName") => Discovery::Alias,
            _ if is_headless => Discovery::Headless,
            _ => Discovery::Endpoints,
        },
        is_dns: false,
        templates: beside.templates_of(service),
    }
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
