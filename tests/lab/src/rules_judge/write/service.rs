//! Random services: Kubernetes' own with their EndpointSlices, and ServiceEntries.

use serde_json::{Value, json};

use super::pen::Pen;
use crate::rules_judge::ingredient::Ingredient;
use crate::rules_judge::places::{LOCALITIES, Pod, pods};

/// How a service comes to its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules_judge) enum Kind {
    /// A Service with an address.
    ClusterIp,
    /// A Service without one.
    Headless,
    /// A ServiceEntry of this resolution.
    Entry(&'static str),
    /// A ServiceEntry that selects WorkloadEntries.
    Selecting,
}

/// An endpoint as it is written.
#[derive(Clone, Debug)]
pub(in crate::rules_judge) struct Endpoint {
    /// Its address.
    pub(in crate::rules_judge) address: String,
    /// The value of its label `version`.
    pub(in crate::rules_judge) version: &'static str,
    /// `region/zone`; empty if none is written.
    pub(in crate::rules_judge) locality: &'static str,
}

/// A service.
#[derive(Clone, Debug)]
pub(in crate::rules_judge) struct Service {
    /// Its full name.
    pub(in crate::rules_judge) host: String,
    /// Its own name.
    pub(in crate::rules_judge) name: String,
    /// Its namespace.
    pub(in crate::rules_judge) namespace: &'static str,
    /// How it comes to its endpoints.
    pub(in crate::rules_judge) kind: Kind,
    /// Its ports.
    pub(in crate::rules_judge) ports: Vec<u16>,
    /// Its endpoints.
    pub(in crate::rules_judge) endpoints: Vec<Endpoint>,
    /// The objects that make it.
    pub(in crate::rules_judge) objects: Vec<Value>,
}

impl Service {
    /// Whether it is one of Kubernetes' own.
    pub(in crate::rules_judge) fn is_kubernetes(&self) -> bool {
        matches!(self.kind, Kind::ClusterIp | Kind::Headless)
    }
}

/// A service of this name, the `number`-th of its set.
pub(super) fn service(pen: &mut Pen<'_>, name: String, number: usize) -> Service {
    let namespace = pen.one(pen.namespaces);
    let mut kinds = vec![Kind::ClusterIp, Kind::Entry("STATIC")];
    // With `distribute`, istiod may leave no endpoint in such a cluster, and Envoy rejects it: what it has then is
    // what it had before.
    let has_round_robin = !pen.ingredients.contains(&Ingredient::Distribute);
    for (ingredient, kind) in [
        (Ingredient::Headless, Kind::Headless),
        (Ingredient::ResolutionNone, Kind::Entry("NONE")),
        (Ingredient::ResolutionDns, Kind::Entry("DNS")),
        (Ingredient::DnsRoundRobin, Kind::Entry("DNS_ROUND_ROBIN")),
        (Ingredient::WorkloadEntries, Kind::Selecting),
    ] {
        let is_possible = has_round_robin || ingredient != Ingredient::DnsRoundRobin;
        if is_possible && pen.ingredients.contains(&ingredient) {
            kinds.extend([kind, kind]);
        }
    }
    let kind = pen.one(&kinds);
    let ports = if pen.chance(40) { vec![80, 8080] } else { vec![80] };
    let host = match kind {
        Kind::ClusterIp | Kind::Headless => format!("{name}.{namespace}.svc.cluster.local"),
        Kind::Entry(_) | Kind::Selecting => format!("{name}.example.com"),
    };
    let mut service = Service { host, name, namespace, kind, ports, endpoints: Vec::new(), objects: Vec::new() };
    match kind {
        Kind::ClusterIp | Kind::Headless => of_kubernetes(pen, &mut service),
        Kind::Entry(resolution) => entry_of(pen, &mut service, resolution, number),
        Kind::Selecting => selecting(pen, &mut service, number),
    }
    service
}

fn of_kubernetes(pen: &mut Pen<'_>, service: &mut Service) {
    let (name, namespace) = (service.name.clone(), service.namespace);
    let unknown = pen.uses(Ingredient::NoLocality, 50);
    let known = |pod: &Pod| pod.namespace == namespace && (pod.locality.is_empty() == unknown);
    let pods: Vec<Pod> = pods().into_iter().filter(known).collect();
    let count = pen.rng.usize(1..=6);
    let chosen = pen.rng.choose_multiple(pods.iter(), count);
    service.endpoints = chosen
        .iter()
        .map(|pod| Endpoint { address: pod.address.clone(), version: pod.version, locality: pod.locality })
        .collect();
    let ports = service.ports.iter().map(|port| json!({ "name": format!("http-{port}"), "port": port }));
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "selector": { "app": name }, "ports": ports.clone().collect::<Vec<_>>() },
    });
    if service.kind == Kind::Headless {
        object["spec"]["clusterIP"] = "None".into();
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-1"),
            "namespace": namespace,
            "labels": { "kubernetes.io/service-name": name },
        },
        "addressType": "IPv4",
        "endpoints": chosen.iter().map(|pod| pod.endpoint()).collect::<Vec<_>>(),
        "ports": ports.collect::<Vec<_>>(),
    });
    service.objects = vec![object, slice];
}

fn entry_of(pen: &mut Pen<'_>, service: &mut Service, resolution: &'static str, number: usize) {
    let count = match resolution {
        "NONE" => 0,
        "DNS_ROUND_ROBIN" => 1,
        _ => pen.rng.usize(1..=5),
    };
    service.endpoints = endpoints(pen, count, number);
    if resolution == "DNS" && pen.ingredients.contains(&Ingredient::FailoverPriority) {
        // istiod 1.31 ends with a panic where such endpoints are in several localities.
        let first = service.endpoints[0].locality;
        service.endpoints.iter_mut().for_each(|endpoint| endpoint.locality = first);
    }
    let mut object = entry(service, resolution);
    if !service.endpoints.is_empty() {
        object["spec"]["endpoints"] = service.endpoints.iter().map(written).collect();
    }
    service.objects = vec![object];
}

fn selecting(pen: &mut Pen<'_>, service: &mut Service, number: usize) {
    let count = pen.rng.usize(1..=5);
    service.endpoints = endpoints(pen, count, number);
    let mut object = entry(service, "STATIC");
    object["spec"]["workloadSelector"] = json!({ "labels": { "app": service.name } });
    service.objects = vec![object];
    for (index, endpoint) in service.endpoints.iter().enumerate() {
        let mut spec = written(endpoint);
        spec["labels"]["app"] = service.name.clone().into();
        service.objects.push(json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": { "name": format!("{}-{index}", service.name), "namespace": service.namespace },
            "spec": spec,
        }));
    }
}

fn endpoints(pen: &mut Pen<'_>, count: usize, number: usize) -> Vec<Endpoint> {
    let unknown = pen.uses(Ingredient::NoLocality, 60);
    let endpoint = |index: usize| Endpoint {
        address: format!("10.77.{number}.{}", index + 1),
        version: pen.one(&["v1", "v2"]),
        locality: if unknown { "" } else { pen.one(&LOCALITIES) },
    };
    (0..count).map(endpoint).collect()
}

fn entry(service: &Service, resolution: &str) -> Value {
    let port = |port: &u16| json!({ "number": port, "name": format!("http-{port}"), "protocol": "HTTP" });
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": { "name": service.name, "namespace": service.namespace },
        "spec": {
            "hosts": [service.host],
            "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
            "resolution": resolution,
        },
    })
}

fn written(endpoint: &Endpoint) -> Value {
    let mut written = json!({ "address": endpoint.address, "labels": { "version": endpoint.version } });
    if !endpoint.locality.is_empty() {
        written["locality"] = endpoint.locality.into();
    }
    written
}
