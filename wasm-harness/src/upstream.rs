//! The destinations of requests and the proxy itself: endpoints, localities, the node.
//!
//! Plain descriptions, which `exchange` turns into the attributes that Envoy would provide.

use crate::abi::encode_pairs;
use crate::value::{Value, proto_field};

/// Region, zone and sub-zone; each may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    /// The broadest part.
    pub region: String,
    /// The middle part.
    pub zone: String,
    /// The narrowest part.
    pub sub_zone: String,
}

impl Locality {
    /// Envoy's `core.v3.Locality`: region=1, zone=2, sub_zone=3.
    pub fn encode(&self) -> Vec<u8> {
        [&self.region, &self.zone, &self.sub_zone]
            .iter()
            .zip(1..)
            .flat_map(|(part, number)| proto_field(number, part.as_bytes()))
            .collect()
    }

    pub(crate) fn parts(&self) -> [(&'static str, &str); 3] {
        [("region", &self.region), ("zone", &self.zone), ("sub_zone", &self.sub_zone)]
    }
}

impl From<&str> for Locality {
    /// Parses `region/zone/sub_zone`; trailing parts may be left off.
    fn from(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(String::from);
        let mut next = || parts.next().unwrap_or_default();
        Locality { region: next(), zone: next(), sub_zone: next() }
    }
}

/// An endpoint of a cluster that the load balancer chose.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub(crate) cluster: String,
    pub(crate) address: String,
    pub(crate) locality: Locality,
    pub(crate) endpoints: u64,
    pub(crate) route: String,
    pub(crate) workload: Option<String>,
}

impl Upstream {
    /// Endpoint `ip:port` of a cluster with one endpoint, no locality and no metadata.
    pub fn new(cluster: &str, address: &str) -> Self {
        Upstream {
            cluster: cluster.into(),
            address: address.into(),
            locality: Locality::default(),
            endpoints: 1,
            route: "default".into(),
            workload: None,
        }
    }

    /// `region/zone/sub_zone`.
    pub fn locality(mut self, locality: impl Into<Locality>) -> Self {
        self.locality = locality.into();
        self
    }

    /// Endpoints in the whole cluster (`upstream.num_endpoints`).
    pub fn endpoints(mut self, count: u64) -> Self {
        self.endpoints = count;
        self
    }

    /// Name of the request's route.
    pub fn route(mut self, name: &str) -> Self {
        self.route = name.into();
        self
    }

    /// Istio's `filter_metadata.istio.workload`: `workload;namespace;canonical-service;revision;cluster`. Without it
    /// the endpoint has no metadata, and reading the metadata as a whole is a SerializationFailure, as in Envoy.
    pub fn workload(mut self, workload: &str) -> Self {
        self.workload = Some(workload.into());
        self
    }

    /// Name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// `ip:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn port(&self) -> i64 {
        let port = self.address.rsplit(':').next();
        port.and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    /// `core.v3.Metadata` with the one key that Istio sets on every endpoint.
    pub(crate) fn metadata(&self) -> Value {
        let Some(workload) = &self.workload else {
            return Value::Null;
        };
        let entry = |key: &str, value: Vec<u8>| {
            let pair = [proto_field(1, key.as_bytes()), proto_field(2, &value)].concat();
            proto_field(1, &pair)
        };
        let text = proto_field(3, workload.as_bytes());
        Value::Message(entry("istio", entry("workload", text)))
    }
}

/// The proxy itself: the content of `xds.node`, which is also available on ticks and on root contexts.
#[derive(Clone, Debug)]
pub struct Node {
    /// Node id.
    pub id: String,
    /// Service cluster of the proxy.
    pub cluster: String,
    /// The proxy's own locality.
    pub locality: Locality,
    /// `LABELS` in the node's metadata, where Istio puts the labels of the pod.
    pub labels: Vec<(String, String)>,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            id: "sidecar~10.0.0.1~client.default~default.svc.cluster.local".into(),
            cluster: "client.default".into(),
            locality: Locality::default(),
            labels: Vec::new(),
        }
    }
}

impl Node {
    /// The default node in a locality (`region/zone/sub_zone`).
    pub fn at(locality: impl Into<Locality>) -> Self {
        Node { locality: locality.into(), ..Node::default() }
    }

    /// Adds a label to the metadata. Its name may contain dots and slashes.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Value of `xds.node` and of the paths below it. `rest` is the path after `node`, split.
    pub(crate) fn property(&self, rest: &[&[u8]]) -> Option<Value> {
        let locality = self.locality.encode();
        match rest {
            [] => Some(Value::Message(
                [
                    proto_field(1, self.id.as_bytes()),
                    proto_field(2, self.cluster.as_bytes()),
                    proto_field(4, &locality),
                ]
                .concat(),
            )),
            [b"id"] => Some(self.id.as_str().into()),
            [b"cluster"] => Some(self.cluster.as_str().into()),
            [b"locality"] => Some(Value::Message(locality)),
            [b"locality", part] => {
                let mut parts = self.locality.parts().into_iter();
                parts.find(|(name, _)| name.as_bytes() == *part).map(|(_, value)| value.into())
            }
            // A map as a whole is read as pairs.
            [b"metadata", b"LABELS"] if !self.labels.is_empty() => Some(Value::Bytes(encode_pairs(&self.labels))),
            [b"metadata", b"LABELS", name] => {
                let mut labels = self.labels.iter();
                labels.find(|(known, _)| known.as_bytes() == *name).map(|(_, value)| value.as_str().into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locality_encodes_as_envoys_message_without_its_empty_parts() {
        let locality = Locality::from("r/z");
        assert_eq!(locality.encode(), b"\x0a\x01r\x12\x01z");
        assert!(Locality::default().encode().is_empty());
    }

    #[test]
    fn a_label_is_read_by_its_whole_name() {
        let node = Node::at("r/z").label("topology.kubernetes.io/zone", "a").label("istio-locality", "r.a");
        assert_eq!(node.property(&[b"metadata", b"LABELS", b"topology.kubernetes.io/zone"]), Some("a".into()));
        assert_eq!(node.property(&[b"metadata", b"LABELS", b"topology"]), None);
        let Some(Value::Bytes(pairs)) = node.property(&[b"metadata", b"LABELS"]) else { panic!("pairs were expected") };
        assert_eq!(pairs[..4], 2_u32.to_le_bytes());
        assert_eq!(Node::default().property(&[b"metadata", b"LABELS"]), None);
    }

    #[test]
    fn metadata_is_null_until_a_workload_is_known() {
        let endpoint = Upstream::new("c", "10.0.0.9:8080");
        assert_eq!(endpoint.port(), 8080);
        assert_eq!(endpoint.metadata(), Value::Null);
        let Value::Message(bytes) = endpoint.workload("w;ns").metadata() else {
            panic!("a message was expected");
        };
        // map entry { "istio": Struct { fields { "workload": Value { string_value = 3 } } } }
        assert_eq!(bytes, b"\x0a\x1d\x0a\x05istio\x12\x14\x0a\x12\x0a\x08workload\x12\x06\x1a\x04w;ns");
    }
}
