//! Which of Istio's policies select a workload, and which of them ask a caller who it is.

use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

use super::workload::{Pairs, has_all, pairs};

/// The group of Istio's security policies.
pub(crate) const SECURITY: &str = "security.istio.io";

/// Kinds that change what a proxy does, and where each has its selector.
const EXTENSIONS: [(&str, &str, &str); 4] = [
    ("networking.istio.io", "EnvoyFilter", "spec.workloadSelector.labels"),
    ("extensions.istio.io", "WasmPlugin", "spec.selector.matchLabels"),
    ("extensions.istio.io", "TrafficExtension", "spec.selector.matchLabels"),
    ("telemetry.istio.io", "Telemetry", "spec.selector.matchLabels"),
];

/// What a policy says to callers without an identity, as those are that do not come through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Nothing that depends on it.
    Nobody,
    /// Some rules let in only callers with an identity, others anybody.
    Some,
    /// No rule lets in a caller without one.
    Everybody,
}

/// The policies of a mesh.
#[derive(Debug)]
pub(crate) struct Policies<'a> {
    root: &'a str,
    authorization: Vec<&'a Resource>,
    requests: Vec<&'a Resource>,
    extensions: Vec<(&'a Resource, &'static str)>,
}

impl<'a> Policies<'a> {
    /// Reads them.
    pub(crate) fn of(mesh: &'a Mesh) -> Self {
        let extensions = EXTENSIONS.iter().flat_map(|(group, kind, selector)| {
            mesh.distinct_in(group, kind).into_iter().map(move |resource| (resource, *selector))
        });
        Self {
            root: mesh.root(),
            authorization: mesh.distinct_in(SECURITY, "AuthorizationPolicy"),
            requests: mesh.distinct_in(SECURITY, "RequestAuthentication"),
            extensions: extensions.collect(),
        }
    }

    /// How many AuthorizationPolicies there are.
    pub(crate) fn authorizations(&self) -> usize {
        self.authorization.len()
    }

    /// The AuthorizationPolicies that the proxy of these pods enforces.
    pub(crate) fn authorization(&self, namespace: &str, labels: &Pairs<'_>) -> Vec<&'a Resource> {
        let selected = |it: &&&Resource| self.selects(it, "spec.selector.matchLabels", namespace, labels);
        self.authorization.iter().filter(selected).copied().collect()
    }

    /// The RequestAuthentications that the proxy of these pods enforces.
    pub(crate) fn requests(&self, namespace: &str, labels: &Pairs<'_>) -> Vec<&'a Resource> {
        let selected = |it: &&&Resource| self.selects(it, "spec.selector.matchLabels", namespace, labels);
        self.requests.iter().filter(selected).copied().collect()
    }

    /// What else changes what the proxy of these pods does.
    pub(crate) fn extensions(&self, namespace: &str, labels: &Pairs<'_>) -> Vec<&'a Resource> {
        let selected = self.extensions.iter().filter(|(it, path)| self.selects(it, path, namespace, labels));
        selected.map(|(it, _)| *it).collect()
    }

    /// Whether a policy is for these pods: it is in their namespace or in the root one, has no selector or one that
    /// they satisfy, and is attached to no gateway or waypoint.
    fn selects(&self, policy: &Resource, selector: &str, namespace: &str, labels: &Pairs<'_>) -> bool {
        let is_near = policy.namespace() == namespace || policy.namespace() == self.root;
        let is_attached = policy.node.at("spec.targetRef").is_some() || !policy.node.list("spec.targetRefs").is_empty();
        is_near && !is_attached && has_all(labels, &pairs(&policy.node, selector))
    }
}

/// What these AuthorizationPolicies together say to callers without an identity, and which of them ask.
pub(crate) fn asks<'a>(policies: &[&'a Resource]) -> (Asks, Vec<&'a Resource>) {
    let action = |it: &Resource| it.node.text("spec.action").unwrap_or("ALLOW").to_owned();
    let rules = |it: &'a Resource| it.node.list("spec.rules").iter();
    let denies = |it: &&&'a Resource| action(it) == "DENY" && rules(it).any(denies_the_unknown);
    let mut asking: Vec<&Resource> = policies.iter().filter(denies).copied().collect();
    let allowing: Vec<&Resource> = policies.iter().filter(|it| action(it) == "ALLOW").copied().collect();
    let named: Vec<&Resource> = allowing.iter().filter(|it| rules(it).any(asks_who)).copied().collect();
    let all: Vec<&Node> = allowing.iter().flat_map(|it| rules(it)).collect();
    let open = all.iter().any(|rule| !asks_who(rule));
    let anybody = all.iter().any(|rule| ["from", "to", "when"].iter().all(|part| rule.list(part).is_empty()));
    let found = match (named.is_empty(), open) {
        (true, _) if asking.is_empty() => Asks::Nobody,
        (true, _) => Asks::Some,
        (false, true) if anybody && asking.is_empty() => return (Asks::Nobody, Vec::new()),
        (false, true) => Asks::Some,
        (false, false) => Asks::Everybody,
    };
    asking.extend(named);
    (found, asking)
}

/// What tells one caller from another by its certificate.
const IDENTITIES: [&str; 3] = ["principals", "namespaces", "serviceAccounts"];
const NOT_IDENTITIES: [&str; 3] = ["notPrincipals", "notNamespaces", "notServiceAccounts"];
const CONDITIONS: [&str; 3] = ["source.principal", "source.namespace", "source.serviceAccount"];

/// Whether a rule holds only for callers with an identity.
fn asks_who(rule: &Node) -> bool {
    let asks = |from: &Node| {
        IDENTITIES.iter().any(|name| from.at("source").is_some_and(|source| !source.list(name).is_empty()))
    };
    let from = rule.list("from");
    let all = !from.is_empty() && from.iter().all(asks);
    let when =
        |when: &Node| when.text("key").is_some_and(|key| CONDITIONS.contains(&key)) && !when.list("values").is_empty();
    all || rule.list("when").iter().any(when)
}

/// Whether a rule holds for callers that have no identity, because it is for all but some that have one.
fn denies_the_unknown(rule: &Node) -> bool {
    let but = |from: &Node| {
        NOT_IDENTITIES.iter().any(|name| from.at("source").is_some_and(|source| !source.list(name).is_empty()))
    };
    let when = |when: &Node| {
        when.text("key").is_some_and(|key| CONDITIONS.contains(&key)) && !when.list("notValues").is_empty()
    };
    rule.list("from").iter().any(but) || rule.list("when").iter().any(when)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(specs: &[&str]) -> Asks {
        let text = |(index, spec): (usize, &&str)| {
            format!(
                "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{index}, \
                 namespace: shop}}\nspec: {{{spec}}}\n"
            )
        };
        let mesh = Mesh::of_text(&specs.iter().enumerate().map(text).collect::<String>());
        asks(&Policies::of(&mesh).authorization("shop", &Pairs::new())).0
    }

    #[test]
    fn who_calls_matters_where_a_rule_names_callers() {
        let named = "rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]";
        let by_namespace = "rules: [{from: [{source: {namespaces: [a]}}], to: [{operation: {paths: [/x]}}]}]";
        let by_address = "rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]";
        let when = "rules: [{when: [{key: source.namespace, values: [a]}]}]";
        assert_eq!(of(&[]), Asks::Nobody);
        assert_eq!(of(&[by_address]), Asks::Nobody);
        assert_eq!(of(&["rules: [{}]", named]), Asks::Nobody);
        assert_eq!(of(&[named]), Asks::Everybody);
        assert_eq!(of(&[by_namespace, when]), Asks::Everybody);
        assert_eq!(of(&[named, by_address]), Asks::Some);
        assert_eq!(of(&["action: DENY, rules: [{from: [{source: {notNamespaces: [a]}}]}]"]), Asks::Some);
        // Nobody gets in, with a proxy or without.
        assert_eq!(of(&[""]), Asks::Nobody);
        assert_eq!(
            of(&["targetRefs: [{kind: Gateway, name: w}], rules: [{from: [{source: {namespaces: [a]}}]}]"]),
            Asks::Nobody
        );
    }
}
