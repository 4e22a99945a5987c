//! Turns DestinationRules into entries of `clusters`, ordered so that the first match is the right one.

use std::collections::BTreeMap;

use filter_core::config::OutlierDetection;
use serde_json::{Value, json};

use crate::mesh::policy::{HostRules, Subset};
use crate::mesh::{Mesh, Resource, dns_name, outlier};

/// A rule for some of a host's clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    port: Option<u64>,
    subset: Chosen,
    host: String,
    /// Envoy's rule; `None` means that Envoy never ejects there.
    pub(crate) rules: Option<OutlierDetection>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Chosen {
    /// The host itself.
    Host,
    Subset(String),
    /// The host and all of its subsets.
    All,
}

impl Entry {
    /// The entry for every cluster that no DestinationRule covers.
    pub(crate) fn of_mesh(rules: OutlierDetection) -> Self {
        Self { port: None, subset: Chosen::All, host: "*".into(), rules: Some(rules) }
    }

    /// The entry in the configuration's form; clusters are named `outbound|PORT|SUBSET|HOST`.
    pub(crate) fn written(&self) -> Value {
        let port = self.port.map_or("*".to_owned(), |port| port.to_string());
        let subset = match &self.subset {
            Chosen::Host => "",
            Chosen::Subset(name) => name,
            Chosen::All => "*",
        };
        let pattern = format!("outbound|{port}|{subset}|{}", self.host);
        json!({"match": pattern, "outlierDetection": outlier::written(self.rules.as_ref())})
    }

    /// Whether some cluster could match both.
    fn meets(&self, other: &Self) -> bool {
        let ports = self.port.is_none() || other.port.is_none() || self.port == other.port;
        let subsets = self.subset == Chosen::All || other.subset == Chosen::All || self.subset == other.subset;
        ports && subsets && (dns_name::covers(&self.host, &other.host) || dns_name::covers(&other.host, &self.host))
    }
}

/// The entries for all DestinationRules, more specific ones first, and notes for the operator.
pub(crate) fn entries(mesh: &Mesh, default: Option<&OutlierDetection>, domain: &str) -> (Vec<Entry>, Vec<String>) {
    let mut notes = Vec::new();
    let mut hosts: BTreeMap<String, Vec<&Resource>> = BTreeMap::new();
    for rule in mesh.istio("DestinationRule") {
        match rule.node.text("spec.host") {
            Some(name) => hosts.entry(dns_name::full(name, rule.namespace(), domain)).or_default().push(rule),
            None => notes.push(format!("{}: has no spec.host, left out", rule.title())),
        }
    }
    let mut hosts: Vec<(String, Vec<&Resource>)> = hosts.into_iter().collect();
    // Of several matching wildcards, Istio takes the longest.
    hosts.sort_by_key(|(host, _)| {
        (host.starts_with('*'), if host.starts_with('*') { usize::MAX - host.len() } else { 0 })
    });

    let mut entries = Vec::new();
    for (host, rules) in hosts {
        let chosen = choose(&host, rules, domain, &mut notes);
        let merged = merge(&chosen);
        entries.extend(of_host(&host, &merged, &chosen[0].title(), default, &mut notes));
    }
    entries.extend(default.cloned().map(Entry::of_mesh));
    (needed(entries), notes)
}

/// The DestinationRules that apply to a host, in the order in which istiod merges them.
fn choose<'a>(host: &str, rules: Vec<&'a Resource>, domain: &str, notes: &mut Vec<String>) -> Vec<&'a Resource> {
    for rule in &rules {
        if rule.node.list("spec.exportTo").iter().any(|to| to.text("") != Some("*")) {
            notes.push(format!("{}: exportTo is not looked at; the rule is taken for every proxy", rule.title()));
        }
        if !rule.node.map("spec.workloadSelector.matchLabels").is_empty() {
            notes.push(format!(
                "{}: holds for the proxies that workloadSelector names; it is left out where another rule speaks of \
                    {host}",
                rule.title()
            ));
        }
    }
    let selects = |rule: &&Resource| !rule.node.map("spec.workloadSelector.matchLabels").is_empty();
    let (special, general): (Vec<_>, Vec<_>) = rules.into_iter().partition(selects);
    let mut rules = if general.is_empty() { special } else { general };

    // Rules of different namespaces are not merged: a proxy uses those of its own namespace, otherwise those of the
    // service's.
    let own = dns_name::namespace_of(host, domain);
    let preferred = rules.iter().find(|rule| Some(rule.namespace()) == own).unwrap_or(&rules[0]).namespace().to_owned();
    let (taken, other): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.namespace() == preferred);
    if !other.is_empty() {
        let others: Vec<String> = other.iter().map(|rule| rule.title()).collect();
        notes.push(format!(
            "{host}: has rules in several namespaces; taken are those of {preferred}, left out {}. Proxies in the \
             namespace of such a rule use that one",
            others.join(", ")
        ));
    }
    rules = taken;
    rules.sort_by_key(|rule| {
        (rule.node.text("metadata.creationTimestamp").unwrap_or_default().to_owned(), rule.name.clone())
    });
    if rules.len() > 1 {
        let titles: Vec<String> = rules.iter().map(|rule| rule.title()).collect();
        notes.push(format!(
            "{host}: {} are merged as istiod does: the oldest one's policy, everyone's subsets",
            titles.join(", ")
        ));
    }
    rules
}

fn merge<'a>(rules: &[&'a Resource]) -> HostRules<'a> {
    let mut merged = HostRules::default();
    for rule in rules {
        let next = HostRules::of(&rule.node);
        merged.policy = merged.policy.or(next.policy);
        for subset in next.subsets {
            if !merged.subsets.iter().any(|known| known.name == subset.name) {
                merged.subsets.push(subset);
            }
        }
    }
    merged
}

fn of_host(
    host: &str,
    rules: &HostRules<'_>,
    title: &str,
    default: Option<&OutlierDetection>,
    notes: &mut Vec<String>,
) -> Vec<Entry> {
    let mut translate = |port: Option<u64>, subset: Option<&Subset<'_>>| {
        let Some(block) = rules.block("outlierDetection", port, subset) else { return default.cloned() };
        outlier::translate(block.node)
            .map_err(|(field, problem)| {
                notes.push(format!(
                    "{title}: {}.{field}: {problem}; Istio refuses it too, so it is left out",
                    block.path
                ));
            })
            .ok()
    };
    let mut of_port = |port: Option<u64>| {
        let base = translate(port, None);
        let mut entries = Vec::new();
        for subset in &rules.subsets {
            let own = translate(port, Some(subset));
            if own != base {
                let subset = Chosen::Subset(subset.name.clone());
                entries.push(Entry { port, subset, host: host.to_owned(), rules: own });
            }
        }
        let subset = if rules.subsets.is_empty() { Chosen::Host } else { Chosen::All };
        entries.push(Entry { port, subset, host: host.to_owned(), rules: base });
        entries
    };
    let any = of_port(None);
    let mut entries = Vec::new();
    for port in rules.ports() {
        let of_this = of_port(Some(port));
        let same = of_this.len() == any.len()
            && of_this.iter().zip(&any).all(|(one, other)| (&one.subset, &one.rules) == (&other.subset, &other.rules));
        if !same {
            entries.extend(of_this);
        }
    }
    entries.extend(any);
    notes.dedup();
    entries
}

/// Drops the entries that only repeat the configuration's default (nothing is ejected), unless they keep a cluster from
/// matching a later entry.
fn needed(entries: Vec<Entry>) -> Vec<Entry> {
    let mut kept: Vec<Entry> = Vec::new();
    for entry in entries.into_iter().rev() {
        if entry.rules.is_some() || kept.iter().any(|later| later.meets(&entry)) {
            kept.push(entry);
        }
    }
    kept.reverse();
    kept
}
