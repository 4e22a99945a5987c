//! An entry of `clusters`, and the entries that the rules for one host become.

use std::collections::HashSet;

use filter_core::config::OutlierDetection;
use serde_json::{Value, json};

use mesh::policy::{HostRules, Subset};
use mesh::{dns_name, outlier};

/// A rule for some of a host's clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    port: Option<u64>,
    subset: Chosen,
    host: String,
    /// Envoy's rule; `None` means that Envoy never ejects there.
    pub(crate) rules: Option<OutlierDetection>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

    /// Whether it is for every cluster of its host.
    pub(crate) fn is_for_all(&self) -> bool {
        self.port.is_none() && !matches!(self.subset, Chosen::Subset(_))
    }

    /// The host, or a pattern for hosts.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The same rule for all clusters of all hosts that match a pattern.
    pub(crate) fn for_all_of(&self, pattern: &str) -> Self {
        Self { port: None, subset: Chosen::All, host: pattern.to_owned(), rules: self.rules.clone() }
    }

    /// Whether some cluster could match both.
    fn meets(&self, other: &Self) -> bool {
        let ports = self.port.is_none() || other.port.is_none() || self.port == other.port;
        let subsets = self.subset == Chosen::All || other.subset == Chosen::All || self.subset == other.subset;
        ports && subsets && (dns_name::covers(&self.host, &other.host) || dns_name::covers(&other.host, &self.host))
    }
}

/// The entries for a host: one for each port and subset whose thresholds differ, the more special first. The rules are
/// such as Istio takes.
pub(crate) fn of_host(host: &str, rules: &HostRules<'_>, default: Option<&OutlierDetection>) -> Vec<Entry> {
    let translate = |port: Option<u64>, subset: Option<&Subset<'_>>| {
        let Some(block) = rules.block("outlierDetection", port, subset) else { return default.cloned() };
        outlier::translate(block.node).ok()
    };
    let of_port = |port: Option<u64>| {
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
    entries
}

/// The one entry of a host whose clusters all have the same thresholds, or none.
pub(crate) fn of_host_without_rule(host: &str, default: Option<&OutlierDetection>) -> Entry {
    Entry { port: None, subset: Chosen::All, host: host.to_owned(), rules: default.cloned() }
}

/// Drops entries for the same clusters as an earlier one: the first match counts.
pub(crate) fn first_of_each(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let id = |entry: &Entry| (entry.port, entry.subset.clone(), entry.host.clone());
    entries.into_iter().filter(|entry| seen.insert(id(entry))).collect()
}

/// Drops the entries that only repeat the configuration's default (nothing is ejected), unless they keep a cluster from
/// matching a later entry.
pub(crate) fn needed(entries: Vec<Entry>) -> Vec<Entry> {
    let mut kept: Vec<Entry> = Vec::new();
    // Of two names without a wildcard, only equal ones meet.
    let mut exact: HashSet<String> = HashSet::new();
    let mut wildcards: Vec<usize> = Vec::new();
    for entry in entries.into_iter().rev() {
        let may_meet_all = entry.host.starts_with('*') || exact.contains(&entry.host);
        let meets = match may_meet_all {
            true => kept.iter().any(|later| later.meets(&entry)),
            false => wildcards.iter().filter_map(|index| kept.get(*index)).any(|later| later.meets(&entry)),
        };
        if entry.rules.is_some() || meets {
            match entry.host.starts_with('*') {
                true => wildcards.push(kept.len()),
                false => drop(exact.insert(entry.host.clone())),
            }
            kept.push(entry);
        }
    }
    kept.reverse();
    kept
}
