//! Which policies do not hold while a pod's proxy is bypassed: what needs a second consent.
//!
//! `hot-switch check` says it of files, and the controller of the cluster, before it grants anything.

use mesh::{Mesh, Resource};

use super::mtls::PeerAuthentications;
use super::policies::Policies;
use super::workload::Pairs;

/// The policies by which inbound traffic of pods with these labels is protected.
pub(super) fn inbound<'a>(
    peers: &PeerAuthentications<'a>,
    policies: &Policies<'a>,
    namespace: &str,
    labels: &Pairs<'_>,
) -> Vec<&'a Resource> {
    let mut all = peers.for_pods(namespace, labels).strict();
    all.extend(policies.authorization(namespace, labels));
    all.extend(policies.requests(namespace, labels));
    all
}

/// Whether any policy protects inbound traffic of pods with these labels.
#[must_use]
pub fn is_protected<'p>(mesh: &Mesh, namespace: &str, labels: impl Iterator<Item = (&'p str, &'p str)>) -> bool {
    let (peers, policies) = (PeerAuthentications::of(mesh), Policies::of(mesh));
    !inbound(&peers, &policies, namespace, &labels.collect()).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selects_the_pod_protects_it() {
        let protected = |policy: &str, label: &'static str| {
            is_protected(&Mesh::of_text(policy), "shop", [("app", label)].into_iter())
        };
        let policy = |kind: &str, name: &str, spec: &str| {
            let (namespace, name) = name.split_once('/').unwrap();
            format!(
                "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{{spec}}}\n"
            )
        };
        let of_cart = "selector: {matchLabels: {app: cart}}";
        assert!(!protected("", "cart"));
        assert!(protected(&policy("PeerAuthentication", "istio-system/default", "mtls: {mode: STRICT}"), "cart"));
        assert!(!protected(&policy("PeerAuthentication", "shop/default", "mtls: {mode: PERMISSIVE}"), "cart"));
        assert!(!protected(&policy("PeerAuthentication", "till/default", "mtls: {mode: STRICT}"), "cart"));
        for kind in ["AuthorizationPolicy", "RequestAuthentication"] {
            assert!(protected(&policy(kind, "shop/one", of_cart), "cart"), "{kind}");
            assert!(!protected(&policy(kind, "shop/one", of_cart), "till"), "{kind}");
        }
    }
}
