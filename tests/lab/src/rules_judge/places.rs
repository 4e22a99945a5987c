//! Where the judge's mesh is: its clients, and the pods that all its sets of rules share.

use serde_json::{Value, json};

use crate::istio::Client;

/// Istio's root namespace.
pub(super) const ROOT: &str = "istio-system";

/// The namespaces that have services.
pub(super) const NAMESPACES: [&str; 4] = ["shop", "pay", "web", "ops"];

/// Localities of nodes and endpoints.
pub(super) const LOCALITIES: [&str; 4] = ["r1/z1", "r1/z2", "r2/z1", "r3/z1"];

/// The client of each namespace. That of `ops` does not know where it is.
pub(super) fn clients() -> [Client; 5] {
    let client = |namespace, locality| Client { namespace, locality, labels: &[("app", "client"), ("version", "v1")] };
    [client("shop", "r1/z1"), client("pay", "r1/z2"), client("web", "r2/z1"), client("ops", ""), client(ROOT, "r1/z1")]
}

/// A pod, which any Service of its namespace may have as an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: &'static str,
    pub(super) name: String,
    pub(super) address: String,
    /// The value of its label `version`.
    pub(super) version: &'static str,
    /// Where its node is, `region/zone`; empty if the node has no labels.
    pub(super) locality: &'static str,
}

/// The nodes: one in each locality, and one in none.
pub(super) fn nodes() -> Vec<(String, &'static str)> {
    LOCALITIES.into_iter().chain([""]).map(|locality| (node(locality), locality)).collect()
}

/// All pods: in each namespace two on each node.
pub(super) fn pods() -> Vec<Pod> {
    let mut pods = Vec::new();
    for (third, namespace) in NAMESPACES.into_iter().enumerate() {
        for (_, locality) in nodes() {
            for version in ["v1", "v2"] {
                let number = pods.len();
                let address = format!("10.66.{}.{}", 200 + third, number + 1);
                pods.push(Pod { namespace, name: format!("pod-{number}"), address, version, locality });
            }
        }
    }
    pods
}

impl Pod {
    /// The object.
    pub(super) fn object(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": { "version": self.version } },
            "spec": {
                "nodeName": node(self.locality),
                "terminationGracePeriodSeconds": 0,
                "containers": [{ "name": "app", "image": "lab" }],
            },
        })
    }

    /// Its status: it runs and is ready.
    pub(super) fn status(&self) -> Value {
        let condition = |kind| json!({ "type": kind, "status": "True" });
        let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition);
        json!({ "status": {
            "phase": "Running", "podIP": self.address, "podIPs": [{ "ip": self.address }], "conditions": conditions,
        } })
    }

    /// Its entry in an EndpointSlice.
    pub(super) fn endpoint(&self) -> Value {
        json!({
            "addresses": [self.address],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "nodeName": node(self.locality),
            "targetRef": { "kind": "Pod", "name": self.name, "namespace": self.namespace },
        })
    }
}

fn node(locality: &str) -> String {
    if locality.is_empty() { "node".to_owned() } else { format!("node-{}", locality.replace('/', "-")) }
}
