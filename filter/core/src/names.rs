//! The service and the proxy in Istio's names of clusters and nodes.

use crate::text::hash;

/// The service of a cluster: the host of Istio's `outbound|8000||host`, or any other name unchanged.
pub fn service(cluster: &str) -> &str {
    cluster.rsplit('|').next().unwrap_or(cluster)
}

/// The name of a proxy from its node id: `pod.namespace` of Istio's `sidecar~ip~pod.namespace~domain`, or any other id
/// unchanged.
pub fn proxy_name(node: &str) -> &str {
    let mut parts = node.split('~');
    match (parts.nth(2), parts.next()) {
        (Some(name), Some(_)) if !name.is_empty() => name,
        _ => node,
    }
}

/// A number that tells the proxies of a fleet apart, from the node id; 0 for a proxy without one.
pub fn node_hash(node: &str) -> u32 {
    if node.is_empty() { 0 } else { hash(node) }
}
