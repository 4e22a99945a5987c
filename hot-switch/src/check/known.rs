//! What the rules know: the facts of all files, collected once.

use hot_switch_core::standing::Mode;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh::dns_name;
use mesh::lookup::{Client, Lookup};
use mesh::policy::Subset;
use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

use super::consent::Consent;
use super::mtls::PeerAuthentications;
use super::policies::Policies;
use super::services::{self, Service};
use super::sidecar::{self, Sidecar};
use super::workload::{self, Workload};

/// The facts of all files.
pub(crate) struct Known<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) domain: &'a str,
    pub(crate) workloads: Vec<Workload<'a>>,
    /// Pods that end by themselves and are judged by nobody.
    pub(crate) ended: usize,
    pub(crate) services: Vec<Service<'a>>,
    pub(crate) peers: PeerAuthentications<'a>,
    pub(crate) policies: Policies<'a>,
    pub(crate) lookup: Lookup<'a>,
    /// Whether any DestinationRule has a proxy start TLS of its own, or insist on mTLS.
    pub(crate) starts_tls: bool,
    pub(crate) insists: bool,
    /// The namespaces in which callers with a proxy may be.
    pub(crate) callers: BTreeSet<&'a str>,
    by_namespace: HashMap<&'a str, Vec<usize>>,
    /// The labels of callers for which DestinationRules are, by namespace.
    selected: HashMap<&'a str, Vec<Vec<(String, String)>>>,
}

impl<'a> Known<'a> {
    /// Collects them.
    pub(crate) fn of(mesh: &'a Mesh, domain: &'a str) -> Self {
        let (workloads, ended) = workload::collect(mesh);
        let lookup = Lookup::of(mesh, domain);
        let mut callers: BTreeSet<&str> = lookup.namespaces().collect();
        let mut by_namespace: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, workload) in workloads.iter().enumerate() {
            if !matches!(sidecar::of(workload, mesh), Sidecar::None(_)) {
                callers.insert(workload.namespace());
            }
            by_namespace.entry(workload.namespace()).or_default().push(index);
        }
        let modes: BTreeSet<String> = mesh.istio("DestinationRule").flat_map(|it| tls_modes(&it.node)).collect();
        Self {
            mesh,
            domain,
            starts_tls: modes.contains("SIMPLE") || modes.contains("MUTUAL"),
            insists: modes.contains("ISTIO_MUTUAL"),
            workloads,
            ended,
            services: services::all(mesh, domain),
            peers: PeerAuthentications::of(mesh),
            policies: Policies::of(mesh),
            lookup,
            callers,
            by_namespace,
            selected: selected_callers(mesh),
        }
    }

    /// The workloads that a Service selects.
    pub(crate) fn behind(&self, service: &Service<'_>) -> Vec<&Workload<'a>> {
        let near = self.by_namespace.get(service.resource.namespace()).into_iter().flatten();
        let all = near.filter_map(|index| self.workloads.get(*index));
        all.filter(|workload| service.selects(workload)).collect()
    }

    /// How proxies of a namespace speak to a port of a host, if a DestinationRule says it: the rule, and its `tls`.
    pub(crate) fn tls(
        &self,
        client: Client<'_>,
        host: &str,
        namespace: &str,
        port: u64,
    ) -> Option<(Vec<&'a Resource>, &'a Node)> {
        let found = self.lookup.rule_for(client, host, std::iter::once(namespace))?;
        let block = found.policy().block("tls", Some(port), None)?;
        Some((found.rules.clone(), block.node))
    }

    /// The rules by which callers of a namespace speak mTLS to a port of a host, whatever the pods' labels say; and
    /// whether all of them do. Some may do so where a rule is for callers with certain labels, or for a subset with
    /// these pods in it to which a route leads.
    pub(crate) fn insisting(
        &self,
        namespace: &str,
        service: &Service<'_>,
        port: u64,
        pods: &workload::Pairs<'_>,
    ) -> (Vec<&'a Resource>, bool) {
        let (host, of) = (&*service.host, service.resource.namespace());
        let insists = |tls: &Node| tls.text("mode") == Some("ISTIO_MUTUAL");
        let (mut rules, mut is_all) = (Vec::new(), false);
        let selected = self.selected.get(namespace).into_iter().flatten();
        for labels in std::iter::once(&Vec::new()).chain(selected) {
            let client = Client { namespace: Some(namespace), labels };
            let Some(found) = self.lookup.rule_for(client, host, std::iter::once(of)) else { continue };
            let policy = found.policy();
            let of_host = policy.block("tls", Some(port), None).is_some_and(|block| insists(block.node));
            is_all |= of_host && labels.is_empty();
            let of_subset = || {
                let of_pods = policy.subsets.iter().filter(|it| it.labels.iter().all(|(k, v)| pods.get(k) == Some(v)));
                let on_port = |it: &&Subset<'a>| policy.block("tls", Some(port), Some(it));
                let mut insisting = of_pods.filter(|it| on_port(it).is_some_and(|block| insists(block.node)));
                insisting.any(|subset| self.leads_to(host, &subset.name))
            };
            if of_host || of_subset() {
                rules.extend(found.rules.iter().filter(|rule| rule.namespace() == found.namespace));
            }
        }
        (rules, is_all)
    }

    /// Whether a VirtualService sends requests to a subset of a host.
    fn leads_to(&self, host: &str, subset: &str) -> bool {
        self.mesh.istio("VirtualService").any(|it| {
            let kinds = ["http", "tcp", "tls"].into_iter().flat_map(|kind| it.node.list(&format!("spec.{kind}")));
            let mut ends = kinds.flat_map(|route| route.list("route"));
            ends.any(|end| {
                let named = end.text("destination.host").map(|name| dns_name::full(name, it.namespace(), self.domain));
                end.text("destination.subset") == Some(subset) && named.as_deref() == Some(host)
            })
        })
    }

    /// Whether proxies choose by themselves whether they speak mTLS.
    pub(crate) fn is_auto_mtls(&self) -> bool {
        self.mesh.mesh_configs().find_map(|it| it.node.flag("enableAutoMtls")).unwrap_or(true)
    }
}

fn selected_callers(mesh: &Mesh) -> HashMap<&str, Vec<Vec<(String, String)>>> {
    let mut all: HashMap<&str, Vec<Vec<(String, String)>>> = HashMap::new();
    for rule in mesh.istio("DestinationRule") {
        let labels = workload::pairs(&rule.node, "spec.workloadSelector.matchLabels");
        if !labels.is_empty() {
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            all.entry(rule.namespace()).or_default().push(labels);
        }
    }
    all
}

/// Every TLS mode that a DestinationRule names, for the host, a port or a subset.
fn tls_modes(rule: &Node) -> Vec<String> {
    let subsets = rule.list("spec.subsets").iter().filter_map(|it| it.at("trafficPolicy"));
    let policies = rule.at("spec.trafficPolicy").into_iter().chain(subsets);
    let of = |it: &Node| it.text("tls.mode").map(str::to_owned);
    policies.flat_map(|it| it.list("portLevelSettings").iter().chain([it]).filter_map(of).collect::<Vec<_>>()).collect()
}

/// A workload, and what every rule asks of it.
pub(crate) struct Case<'k, 'a> {
    pub(crate) known: &'k Known<'a>,
    pub(crate) workload: &'k Workload<'a>,
    pub(crate) sidecar: Sidecar,
    pub(crate) consent: Consent,
    /// The Services that select it.
    pub(crate) services: Vec<&'k Service<'a>>,
    /// Its labels, as the lookup of DestinationRules takes them.
    pub(crate) labels: Vec<(String, String)>,
}

impl<'k, 'a> Case<'k, 'a> {
    /// Puts the facts of a workload together; `assumed`: its mode, whatever is written.
    pub(crate) fn of(known: &'k Known<'a>, workload: &'k Workload<'a>, assumed: Option<Mode>) -> Self {
        let consent = Consent::of(workload, known.mesh);
        Self {
            known,
            workload,
            sidecar: sidecar::of(workload, known.mesh),
            consent: Consent { mode: assumed.unwrap_or(consent.mode), ..consent },
            services: known.services.iter().filter(|service| service.selects(workload)).collect(),
            labels: workload.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    /// Its proxy, as a client.
    pub(crate) fn client(&self) -> Client<'_> {
        Client { namespace: Some(self.workload.namespace()), labels: &self.labels }
    }

    /// The path of a field of the pods in the resource.
    pub(crate) fn at(&self, field: &str) -> String {
        format!("{}{field}", self.workload.prefix)
    }
}

/// What had to be assumed, because the files do not have it: how often each.
#[derive(Debug, Default)]
pub(crate) struct Assumed {
    counts: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Assumed {
    /// Notes that something was assumed of `whom`.
    pub(crate) fn of(&mut self, what: &'static str, whom: String) {
        self.counts.entry(what).or_default().insert(whom);
    }

    /// What was assumed, and of how many.
    pub(crate) fn all(self) -> impl Iterator<Item = (&'static str, usize)> {
        self.counts.into_iter().map(|(what, whom)| (what, whom.len()))
    }
}
