//! Writes equal entries once, where a mesh has more than fit: an entry for all services of a namespace, after those
//! that differ.
//!
//! Only where the files have the namespace's Services: a service that no rule is for must not get another's thresholds.

use std::collections::{BTreeMap, HashMap};

use super::cluster_entries::{self, Entry};
use mesh::dns_name;
use mesh::services::Services;

/// Replaces the entries of namespaces whose services are known by one for all and those that differ from it. Returns
/// also how many services that one entry stands for.
pub(crate) fn once(entries: Vec<Entry>, services: &Services, domain: &str) -> (Vec<Entry>, usize) {
    let is_exact = |entry: &Entry| !entry.host().starts_with('*');
    let mut of_host: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries.iter().filter(|entry| is_exact(entry)) {
        of_host.entry(entry.host()).or_default().push(entry);
    }
    let mut of_namespace: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (host, _) in services.all() {
        if let Some(namespace) = dns_name::namespace_of(host, domain) {
            of_namespace.entry(namespace).or_default().push(host);
        }
    }
    let wildcards: Vec<&Entry> = entries.iter().filter(|entry| !is_exact(entry)).collect();
    let mut shared = Vec::new();
    let mut stands_for = 0;
    let mut replaced: BTreeMap<&str, Entry> = BTreeMap::new();
    for (namespace, hosts) in of_namespace {
        let pattern = format!("*.{namespace}.svc.{domain}");
        // Where a wildcard reaches in, what holds for the others is its to say.
        if wildcards
            .iter()
            .any(|wildcard| dns_name::covers(&pattern, wildcard.host()) || dns_name::covers(wildcard.host(), &pattern))
        {
            continue;
        }
        let Some((common, count, without)) = common(&hosts, &of_host, &pattern) else { continue };
        shared.extend(without);
        stands_for += count;
        replaced.insert(namespace, common);
    }
    let is_common = |entry: &Entry| {
        let namespace = dns_name::namespace_of(entry.host(), domain).filter(|_| is_exact(entry));
        let common = namespace.and_then(|namespace| Some((namespace, replaced.get(namespace)?)));
        let alone = of_host.get(entry.host()).is_some_and(|all| all.len() == 1);
        alone
            && entry.is_for_all()
            && common
                .is_some_and(|(namespace, common)| entry.for_all_of(&format!("*.{namespace}.svc.{domain}")) == *common)
    };
    let mut kept: Vec<Entry> = entries.iter().filter(|entry| !is_common(entry)).cloned().collect();
    kept.extend(shared);
    kept.sort_by_key(|entry| entry.host().starts_with('*'));
    let at = kept.iter().position(|entry| !is_exact(entry)).unwrap_or(kept.len());
    let tail = kept.split_off(at);
    kept.extend(replaced.into_values());
    kept.extend(tail);
    (kept, stands_for)
}

/// The entry that most of a namespace's services have, how many these are, and entries for the services without any;
/// `None` if nothing is won by it.
fn common(hosts: &[&str], of_host: &HashMap<&str, Vec<&Entry>>, pattern: &str) -> Option<(Entry, usize, Vec<Entry>)> {
    let mut counts: Vec<(Entry, usize)> = Vec::new();
    for host in hosts {
        let Some([only]) = of_host.get(host).map(Vec::as_slice) else { continue };
        let entry = only.for_all_of(pattern);
        match counts.iter_mut().find(|(known, _)| *known == entry) {
            _ if !only.is_for_all() => {}
            Some((_, count)) => *count += 1,
            None => counts.push((entry, 1)),
        }
    }
    let (common, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let without = hosts.iter().filter(|host| !of_host.contains_key(**host));
    let without: Vec<Entry> = without.map(|host| cluster_entries::of_host_without_rule(host, None)).collect();
    (count > without.len() + 1).then_some((common, count, without))
}
