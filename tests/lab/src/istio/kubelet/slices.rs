//! EndpointSlices: the addresses of a service's pods, as the control plane tells them to everyone.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};

use super::nodes;
use super::pod::Pod;
use super::spec::{list, text, texts};
use crate::istio::api::Api;

/// Writes the slice of every service that selects pods. Only pods in `ready`, by name, are ready.
pub(crate) fn publish(api: &Api, services: &[Value], pods: &[&Pod], ready: &BTreeSet<String>) -> Result<()> {
    for service in services {
        let selector = texts(service, "/spec/selector");
        let (namespace, name) = (text(service, "/metadata/namespace"), text(service, "/metadata/name"));
        if selector.is_empty() || namespace == "istio-system" {
            continue;
        }
        let selected = pods.iter().filter(|pod| {
            pod.namespace == namespace && selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        });
        let endpoints: Vec<Value> = selected.map(|pod| endpoint(pod, ready.contains(&pod.name))).collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-lab"),
                "namespace": namespace,
                "labels": {
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": list(service, "/spec/ports").iter().map(port).collect::<Vec<_>>(),
        });
        api.apply(&slice)?;
    }
    Ok(())
}

fn endpoint(pod: &Pod, is_ready: bool) -> Value {
    json!({
        "addresses": [pod.address.to_string()],
        "conditions": { "ready": is_ready, "serving": is_ready, "terminating": false },
        "nodeName": pod.node,
        "zone": nodes::zone(&pod.node),
        "targetRef": { "kind": "Pod", "name": pod.name, "namespace": pod.namespace },
    })
}

fn port(port: &Value) -> Value {
    let number = if port["targetPort"].is_u64() { &port["targetPort"] } else { &port["port"] };
    let mut slice = json!({ "name": text(port, "/name"), "port": number, "protocol": "TCP" });
    if let Some(protocol) = port["appProtocol"].as_str() {
        slice["appProtocol"] = protocol.into();
    }
    slice
}
