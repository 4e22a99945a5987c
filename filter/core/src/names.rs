//! What Istio's names of clusters and nodes say: the service and the proxy.

/// The service that a cluster is: the host of Istio's `outbound|8000||host`, any other name as it is.
pub fn service(cluster: &str) -> &str {
    cluster.rsplit('|').next().unwrap_or(cluster)
}

/// A proxy's name out of its node's id: `pod.namespace` of Istio's `sidecar~ip~pod.namespace~domain`, any other as it
/// is.
pub fn proxy_name(node: &str) -> &str {
    let mut parts = node.split('~');
    match (parts.nth(2), parts.next()) {
        (Some(name), Some(_)) if !name.is_empty() => name,
        _ => node,
    }
}
