//! Whether a workload takes plaintext: its PeerAuthentication, composed as istiod does (`ComposePeerAuthentication`).
//!
//! The oldest policy of each level counts: the mesh's (root namespace, no selector), the namespace's, the workload's
//! (selector, not in the root namespace). What is unset is inherited; ports have a mode of their own only in the
//! workload's.

use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

use super::finding::{Draft, Severity};
use super::policies::SECURITY;
use super::rules::HS003;
use super::workload::{Pairs, has_all, pairs};

/// What a port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Plaintext.
    Disable,
    /// Both.
    Permissive,
    /// mTLS only.
    Strict,
}

/// What the ports of a workload take, and which policy says so.
#[derive(Clone, Debug)]
pub(crate) struct Mtls<'a> {
    all: (Mode, Option<&'a Resource>),
    ports: Vec<(u64, Mode, &'a Resource)>,
}

impl<'a> Mtls<'a> {
    /// What a container's port takes, and which policy says so; `None`: nobody, it is the default.
    pub(crate) fn on(&self, port: u64) -> (Mode, Option<&'a Resource>) {
        let own = self.ports.iter().find(|(number, ..)| *number == port);
        own.map_or(self.all, |(_, mode, policy)| (*mode, Some(*policy)))
    }

    /// The policies that require mTLS, on all ports or on some.
    pub(crate) fn strict(&self) -> Vec<&'a Resource> {
        let all = Some(self.all).filter(|(mode, _)| *mode == Mode::Strict).and_then(|(_, policy)| policy);
        let ports = self.ports.iter().filter(|(_, mode, _)| *mode == Mode::Strict).map(|(.., policy)| *policy);
        let mut found: Vec<&Resource> = all.into_iter().chain(ports).collect();
        found.dedup_by(|a, b| std::ptr::eq(*a, *b));
        found
    }
}

/// The PeerAuthentications of a mesh.
#[derive(Debug)]
pub(crate) struct PeerAuthentications<'a> {
    root: &'a str,
    all: Vec<&'a Resource>,
}

impl<'a> PeerAuthentications<'a> {
    /// Reads them.
    pub(crate) fn of(mesh: &'a Mesh) -> Self {
        let mut all: Vec<&Resource> = mesh.distinct_in(SECURITY, "PeerAuthentication");
        all.sort_by_key(|it| it.node.text("metadata.creationTimestamp").unwrap_or_default());
        Self { root: mesh.root(), all }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// What holds for the pods with these labels.
    pub(crate) fn for_pods(&self, namespace: &str, labels: &Pairs<'_>) -> Mtls<'a> {
        let selector = |it: &Resource| !it.node.map("spec.selector.matchLabels").is_empty();
        let oldest = |wanted: &dyn Fn(&Resource) -> bool| self.all.iter().copied().find(|it| wanted(it));
        let of_mesh = oldest(&|it| it.namespace() == self.root && !selector(it));
        let of_namespace = oldest(&|it| it.namespace() == namespace && namespace != self.root && !selector(it));
        let of_workload = oldest(&|it| {
            let chosen = || has_all(labels, &pairs(&it.node, "spec.selector.matchLabels"));
            it.namespace() == namespace && namespace != self.root && selector(it) && chosen()
        });
        let mut all = (Mode::Permissive, None);
        for policy in [of_mesh, of_namespace, of_workload].into_iter().flatten() {
            if let Some(mode) = mode(&policy.node, "spec.mtls.mode") {
                all = (mode, Some(policy));
            }
        }
        let ports = of_workload.into_iter().flat_map(|policy| {
            let of_port = move |(port, node): &(String, Node)| {
                Some((port.parse().ok()?, mode(node, "mode").unwrap_or(all.0), policy))
            };
            policy.node.map("spec.portLevelMtls").iter().filter_map(of_port)
        });
        Mtls { all, ports: ports.collect() }
    }

    /// HS003: modes that Istio does not have. They are taken for unset.
    pub(crate) fn not_understood(&self) -> Vec<(&'a Resource, Draft)> {
        let mut found = Vec::new();
        for policy in &self.all {
            let ports = policy.node.map("spec.portLevelMtls").iter().map(|(_, node)| node.text("mode"));
            for text in ports.chain([policy.node.text("spec.mtls.mode")]).flatten() {
                if !["UNSET", "DISABLE", "PERMISSIVE", "STRICT"].contains(&text) {
                    let problem = format!("the mode `{text}` is none of Istio's");
                    let words = [
                        problem.as_str(),
                        "the API server refuses it; here it was taken for unset, so what is said of its workloads may \
                         be wrong",
                        "write UNSET, DISABLE, PERMISSIVE or STRICT",
                    ];
                    found.push((*policy, Draft::new(HS003, Severity::Error, words).at("spec")));
                }
            }
        }
        found
    }
}

/// A mode that is set.
fn mode(node: &Node, path: &str) -> Option<Mode> {
    match node.text(path)? {
        "DISABLE" => Some(Mode::Disable),
        "PERMISSIVE" => Some(Mode::Permissive),
        "STRICT" => Some(Mode::Strict),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, spec: &str) -> String {
        let (namespace, name) = name.split_once('/').unwrap();
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: \
             {namespace}}}\nspec: {{{spec}}}\n"
        )
    }

    fn on(policies: &[String], port: u64) -> Mode {
        let mesh = Mesh::of_text(&policies.concat());
        PeerAuthentications::of(&mesh).for_pods("shop", &Pairs::from([("app", "web")])).on(port).0
    }

    #[test]
    fn the_nearest_policy_that_says_anything_counts() {
        let strict = "mtls: {mode: STRICT}";
        let web = "selector: {matchLabels: {app: web}}";
        assert_eq!(on(&[], 80), Mode::Permissive);
        assert_eq!(on(&[policy("istio-system/all", strict)], 80), Mode::Strict);
        let both = [policy("istio-system/all", strict), policy("shop/all", "mtls: {mode: DISABLE}")];
        assert_eq!(on(&both, 80), Mode::Disable);
        let unset = [policy("istio-system/all", strict), policy("shop/all", "mtls: {mode: UNSET}")];
        assert_eq!(on(&unset, 80), Mode::Strict);
        // In the root namespace one with a selector selects nothing.
        assert_eq!(on(&[policy("istio-system/web", &format!("{web}, {strict}"))], 80), Mode::Permissive);
        let ports = [policy("shop/web", &format!("{web}, {strict}, portLevelMtls: {{9000: {{mode: DISABLE}}}}"))];
        assert_eq!((on(&ports, 80), on(&ports, 9000)), (Mode::Strict, Mode::Disable));
    }
}
