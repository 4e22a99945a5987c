//! Finds which DestinationRule holds for which hosts, as seen by the proxies that the configuration is for.
//!
//! The order is that of istiod's search ([`mesh::lookup`]): the proxies' own namespace, then the service's, then
//! the root namespace. So the first entry that matches a cluster's name is the right one.

use std::collections::{BTreeMap, BTreeSet};

use filter_core::config::OutlierDetection;

use super::cluster_entries::{self, Entry};
use super::remarks::Remarks;
use mesh::dns_name;
use mesh::lookup::{Client, Lookup, Merged};
use mesh::services::Services;

/// What entries are derived from.
pub(crate) struct Reach<'a> {
    /// The rules.
    pub(crate) lookup: &'a Lookup<'a>,
    /// What the files say about services.
    pub(crate) services: &'a Services,
    /// The proxies that the configuration is for.
    pub(crate) client: Client<'a>,
    /// The mesh's outlier detection.
    pub(crate) default: Option<&'a OutlierDetection>,
    /// The domain of the cluster's services.
    pub(crate) domain: &'a str,
}

impl<'a> Reach<'a> {
    /// The entries, more special ones first.
    pub(crate) fn entries(&self, remarks: &mut Remarks<'a>) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(namespace) = self.client.namespace {
            for host in self.lookup.hosts_in(namespace) {
                if let Some(found) = self.lookup.own(self.client, host) {
                    entries.extend(self.of(host, found, remarks));
                }
            }
        }
        let mut outside: BTreeMap<String, Vec<&'a Merged<'a>>> = BTreeMap::new();
        for namespace in self.lookup.namespaces().filter(|namespace| *namespace != self.lookup.root) {
            for host in self.lookup.hosts_in(namespace) {
                let hosts = self.hosts_of(namespace, host);
                let found = self.lookup.exported(namespace, self.client, host).filter(|found| found.host == host);
                match found {
                    Some(found) if hosts.is_empty() && self.is_unknown(host) => {
                        outside.entry(host.to_owned()).or_default().push(found);
                    }
                    Some(found) => hosts.iter().for_each(|host| entries.extend(self.of(host, Some(found), remarks))),
                    // Not exported to these proxies: the search goes on in the root namespace, past a wildcard here.
                    None if self.lookup.exports(namespace, host) => hosts.iter().for_each(|host| {
                        let found = self.lookup.exported(self.lookup.root, self.client, host);
                        entries.extend(self.of(host, found, remarks));
                    }),
                    None => {}
                }
            }
        }
        for (host, rules) in outside {
            if let Some(first) = rules.first() {
                remarks.outside(&host, first.namespace, rules.len());
            }
            entries.extend(self.of(&host, rules.first().copied(), remarks));
        }
        for host in self.lookup.hosts_in(self.lookup.root) {
            if let Some(found) = self.lookup.exported(self.lookup.root, self.client, host)
                && found.host == host
            {
                entries.extend(self.of(host, Some(found), remarks));
            }
        }
        entries
    }

    /// The hosts of services in a namespace that a rule's host stands for.
    fn hosts_of(&self, namespace: &str, host: &str) -> BTreeSet<String> {
        if !host.starts_with('*') {
            let is_here = self.services.namespaces_of(host, self.domain).contains(&namespace);
            return is_here.then(|| host.to_owned()).into_iter().collect();
        }
        let all = format!("*.{namespace}.svc.{}", self.domain);
        let is_beside = |name: &str| dns_name::covers(host, name) && !dns_name::covers(&all, name);
        let of_here = self.services.all().filter(|(_, service)| service.namespaces.contains(namespace));
        let beside = of_here.map(|(name, _)| name).filter(|name| is_beside(name)).map(str::to_owned);
        let within = dns_name::covers(&all, host).then(|| host.to_owned());
        beside.chain(within).chain(dns_name::covers(host, &all).then(|| all.clone())).collect()
    }

    /// Whether the files do not tell in which namespace a host is.
    fn is_unknown(&self, host: &str) -> bool {
        let is_of_cluster = host.ends_with(&format!(".svc.{}", self.domain));
        !is_of_cluster && host != "*" && self.services.namespaces_of(host, self.domain).is_empty()
    }

    fn of(&self, host: &str, rule: Option<&'a Merged<'a>>, remarks: &mut Remarks<'a>) -> Vec<Entry> {
        let Some(rule) = rule else { return vec![cluster_entries::of_host_without_rule(host, self.default)] };
        remarks.used(rule);
        cluster_entries::of_host(host, &rule.policy(), self.default)
    }
}
