//! Resolves which part of a DestinationRule applies to which of a service's clusters.
//!
//! The merge is istiod's. The settings of a port replace the rule's entirely; whatever they leave out gets Istio's
//! default. A subset's policy replaces the rule's block by block, but its own settings for a port again replace
//! everything.

use crate::yaml::node::Node;
use std::collections::BTreeSet;

/// A traffic policy: the node that holds its fields, and that node's path in its resource.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its path, such as `spec.trafficPolicy`.
    pub path: String,
}

impl<'a> Policy<'a> {
    /// The policy at a path of a resource.
    pub fn at(resource: &'a Node, path: &str) -> Option<Self> {
        resource.at(path).map(|node| Self { node, path: path.to_owned() })
    }

    /// A block in it.
    pub fn block(&self, name: &str) -> Option<Policy<'a>> {
        self.node.at(name).map(|node| Policy { node, path: format!("{}.{name}", self.path) })
    }

    /// The settings of a port, if it has its own.
    fn of_port(&self, port: u64) -> Option<Policy<'a>> {
        let index = self.node.list("portLevelSettings").iter().position(|p| p.number("port.number") == Some(port))?;
        self.block(&format!("portLevelSettings[{index}]"))
    }

    /// The settings of each port that has its own.
    pub fn port_settings(&self) -> Vec<(u64, Policy<'a>)> {
        self.ports().filter_map(|port| Some((port, self.of_port(port)?))).collect()
    }

    fn ports(&self) -> impl Iterator<Item = u64> {
        self.node.list("portLevelSettings").iter().filter_map(|settings| settings.number("port.number"))
    }
}

/// A subset and its own policy.
#[derive(Clone, Debug)]
pub struct Subset<'a> {
    /// Its name.
    pub name: String,
    /// Its policy, if it has one.
    pub policy: Option<Policy<'a>>,
    /// The labels of its endpoints.
    pub labels: Vec<(&'a str, &'a str)>,
}

/// What the rules for a host say: one DestinationRule, or several that istiod merges.
#[derive(Clone, Debug, Default)]
pub struct HostRules<'a> {
    /// The policy of the host.
    pub policy: Option<Policy<'a>>,
    /// Its subsets.
    pub subsets: Vec<Subset<'a>>,
}

impl<'a> HostRules<'a> {
    /// Reads one DestinationRule.
    pub fn of(rule: &'a Node) -> Self {
        let subset = |(index, subset): (usize, &'a Node)| {
            let labels = subset.map("labels").iter().filter_map(|(key, value)| Some((key.as_str(), value.text("")?)));
            Some(Subset {
                name: subset.text("name")?.to_owned(),
                policy: Policy::at(rule, &format!("spec.subsets[{index}].trafficPolicy")),
                labels: labels.collect(),
            })
        };
        Self {
            policy: Policy::at(rule, "spec.trafficPolicy"),
            subsets: rule.list("spec.subsets").iter().enumerate().filter_map(subset).collect(),
        }
    }

    /// Adds a younger rule for the same host: it counts where nothing is yet.
    pub fn add(&mut self, younger: Self) {
        self.policy = self.policy.take().or(younger.policy);
        for subset in younger.subsets {
            if !self.subsets.iter().any(|known| known.name == subset.name) {
                self.subsets.push(subset);
            }
        }
    }

    /// The ports that have their own settings anywhere, in order.
    pub fn ports(&self) -> Vec<u64> {
        let policies = self.policy.iter().chain(self.subsets.iter().filter_map(|subset| subset.policy.as_ref()));
        let mut ports: Vec<u64> = policies.flat_map(Policy::ports).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Whether each of these ports has settings of its own, so that the other settings of the host hold for none.
    pub fn settles_each(&self, ports: &BTreeSet<u64>) -> bool {
        let own: BTreeSet<u64> = self.policy.iter().flat_map(Policy::ports).collect();
        !ports.is_empty() && ports.is_subset(&own)
    }

    /// A block of the policy (`outlierDetection`, `loadBalancer`) as it applies to a port (`None`: any port without its
    /// own settings) and a subset (`None`: the host itself).
    pub fn block(&self, name: &str, port: Option<u64>, subset: Option<&Subset<'a>>) -> Option<Policy<'a>> {
        let (base, _) = scoped(self.policy.as_ref(), port);
        let of_host = base.and_then(|policy| policy.block(name));
        let Some(of_subset) = subset.and_then(|subset| subset.policy.as_ref()) else { return of_host };
        match scoped(Some(of_subset), port) {
            (policy, true) => policy.and_then(|policy| policy.block(name)),
            (policy, false) => policy.and_then(|policy| policy.block(name)).or(of_host),
        }
    }

    /// The `localityLbSetting` as it applies to a port and a subset.
    pub fn locality(&self, port: Option<u64>, subset: Option<&Subset<'a>>) -> Option<Policy<'a>> {
        self.block("loadBalancer", port, subset)?.block("localityLbSetting")
    }

    /// Every combination of port and subset whose settings may differ, the host itself first.
    pub fn scopes(&self) -> Vec<(Option<u64>, Option<&Subset<'a>>)> {
        let ports = || std::iter::once(None).chain(self.ports().into_iter().map(Some));
        let subsets = || std::iter::once(None).chain(self.subsets.iter().map(Some));
        ports().flat_map(|port| subsets().map(move |subset| (port, subset))).collect()
    }
}

/// The policy for a port, and whether it comes from settings of that port.
fn scoped<'a>(policy: Option<&Policy<'a>>, port: Option<u64>) -> (Option<Policy<'a>>, bool) {
    let own = policy.and_then(|policy| policy.of_port(port?));
    match own {
        Some(own) => (Some(own), true),
        None => (policy.cloned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn ports_replace_and_subsets_override() {
        let text = "
spec:
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 1}
    portLevelSettings:
    - {port: {number: 80}, loadBalancer: {simple: RANDOM}}
    - {port: {number: 81}, outlierDetection: {consecutive5xxErrors: 2}}
  subsets:
  - {name: plain}
  - {name: own, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}}}
  - name: ported
    trafficPolicy:
      loadBalancer: {simple: RANDOM}
      portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]
";
        let nodes = yaml::read(text).unwrap();
        let rules = HostRules::of(&nodes[0]);
        let of = |port, subset: Option<usize>| {
            let block = rules.block("outlierDetection", port, subset.map(|i| &rules.subsets[i]))?;
            block.node.number("consecutive5xxErrors")
        };
        assert_eq!((of(None, None), of(Some(80), None), of(Some(81), None)), (Some(1), None, Some(2)));
        assert_eq!((of(None, Some(0)), of(Some(80), Some(0)), of(Some(81), Some(0))), (Some(1), None, Some(2)));
        assert_eq!((of(None, Some(1)), of(Some(80), Some(1)), of(Some(81), Some(1))), (Some(3), Some(3), Some(3)));
        assert_eq!((of(None, Some(2)), of(Some(81), Some(2))), (Some(1), None));
        assert_eq!(rules.ports(), [80, 81]);
    }
}
