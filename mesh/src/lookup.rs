//! Finds the DestinationRule that a proxy gets for a host, as istiod does (`PushContext.destinationRule`).
//!
//! istiod looks in the proxy's namespace, then in the service's, then in the root namespace, takes the most special
//! host of the first that has one, and inherits nothing from the others. Rules for one host in one namespace are
//! merged, the oldest first, if their `exportTo` is the same (Istio 1.24 and later) and their selectors are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::policy::HostRules;
use super::{Mesh, Resource, dns_name};

/// The proxies for which rules are looked up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    /// Their namespace; `None`: any that has no rules of its own.
    pub namespace: Option<&'a str>,
    /// Their labels, as far as they are known.
    pub labels: &'a [(String, String)],
}

/// DestinationRules for one host that istiod has merged, or one that stands alone.
#[derive(Clone, Debug)]
pub struct Merged<'a> {
    /// The full name, or `*` and a suffix.
    pub host: String,
    /// Where the rules are.
    pub namespace: &'a str,
    /// The rules, the oldest first.
    pub rules: Vec<&'a Resource>,
    /// The labels of the proxies that it is for; `None`: all.
    pub selector: Option<BTreeMap<&'a str, &'a str>>,
    /// Where it is exported to; empty is the mesh's default.
    pub export_to: BTreeSet<&'a str>,
}

impl<'a> Merged<'a> {
    fn alone(rule: &'a Resource, host: String) -> Self {
        let labels = rule.node.map("spec.workloadSelector.matchLabels");
        let selector = (!labels.is_empty())
            .then(|| labels.iter().map(|(key, value)| (key.as_str(), value.text("").unwrap_or_default())).collect());
        // A rule with a selector is not exported, whatever it says.
        let export_to = match selector {
            Some(_) => BTreeSet::from(["."]),
            None => rule.node.list("spec.exportTo").iter().filter_map(|to| to.text("")).collect(),
        };
        Self { host, namespace: rule.namespace(), rules: vec![rule], selector, export_to }
    }

    /// Takes in a younger rule for the same host if istiod does; returns whether that rule is then done with.
    fn take_in(&mut self, younger: &Self) -> bool {
        let same = younger.export_to == self.export_to;
        if (!same && (self.export_to.is_empty() || !younger.export_to.is_superset(&self.export_to)))
            || (self.selector.is_some() && younger.selector.is_some() && self.selector != younger.selector)
        {
            return false;
        }
        self.rules.extend(&younger.rules);
        same || self.selector == younger.selector
    }

    /// What the rules say together: the policy of the oldest that has one, and everyone's subsets.
    pub fn policy(&self) -> HostRules<'a> {
        let mut merged = HostRules::default();
        for rule in &self.rules {
            merged.add(HostRules::of(&rule.node));
        }
        merged
    }

    /// Whether the other is made of the same resources.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let pairs = || self.rules.iter().zip(&other.rules);
        self.rules.len() == other.rules.len() && pairs().all(|(one, other)| std::ptr::eq(*one, *other))
    }

    /// The titles of the rules, joined by commas.
    pub fn titles(&self) -> String {
        self.rules.iter().map(|rule| rule.title()).collect::<Vec<_>>().join(", ")
    }

    fn is_local(&self) -> bool {
        let names = |to: &str| self.export_to.contains(to);
        self.export_to.is_empty() || names("*") || names(".") || names(self.namespace)
    }

    fn is_private(&self, by_default: bool) -> bool {
        match self.export_to.len() {
            0 => by_default,
            1 => self.export_to.contains(".") || self.export_to.contains(self.namespace),
            _ => false,
        }
    }

    /// Whether every namespace sees it, for all of its proxies.
    pub fn is_for_all(&self) -> bool {
        self.selector.is_none() && (self.export_to.is_empty() || self.export_to.contains("*"))
    }

    fn is_exported_to(&self, client: Option<&str>) -> bool {
        self.export_to.is_empty()
            || self.export_to.contains("*")
            || client.is_some_and(|namespace| self.export_to.contains(namespace))
    }
}

/// The rules of one namespace, by host.
#[derive(Debug, Default)]
struct Hosts<'a> {
    exact: HashMap<String, Vec<Merged<'a>>>,
    /// The longest first: of several that match, Istio takes that one.
    wildcards: Vec<(String, Vec<Merged<'a>>)>,
}

impl<'a> Hosts<'a> {
    fn add(&mut self, rule: Merged<'a>) {
        let list = match rule.host.starts_with('*') {
            false => self.exact.entry(rule.host.clone()).or_default(),
            true => {
                let index = self.wildcards.iter().position(|(host, _)| *host == rule.host).unwrap_or_else(|| {
                    self.wildcards.push((rule.host.clone(), Vec::new()));
                    self.wildcards.len() - 1
                });
                match self.wildcards.get_mut(index) {
                    Some((_, list)) => list,
                    None => return,
                }
            }
        };
        // A rule may be added to several others; as in istiod, the last of them decides whether it also stands alone.
        let mut taken = false;
        for older in list.iter_mut() {
            taken = older.take_in(&rule);
        }
        if !taken {
            list.push(rule);
        }
    }

    /// The rules of the most special host that covers `host` and has any in the pool.
    fn most_special(&self, host: &str, pool: impl Fn(&Merged<'a>) -> bool) -> Vec<&Merged<'a>> {
        let of = |list: &'_ [Merged<'a>]| list.iter().any(&pool);
        if let Some(list) = self.exact.get(host).filter(|list| of(list)) {
            return list.iter().filter(|rule| pool(rule)).collect();
        }
        let covering = self.wildcards.iter().find(|(pattern, list)| dns_name::covers(pattern, host) && of(list));
        covering.map_or_else(Vec::new, |(_, list)| list.iter().filter(|rule| pool(rule)).collect())
    }

    fn hosts(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().chain(self.wildcards.iter().map(|(host, _)| host)).map(String::as_str)
    }

    fn all(&self) -> impl Iterator<Item = &Merged<'a>> {
        self.exact.values().flatten().chain(self.wildcards.iter().flat_map(|(_, list)| list))
    }

    fn sort(&mut self) {
        self.wildcards.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
    }
}

/// The rules of one namespace. What its own proxies see and what others see is merged apart: a rule of its own takes in
/// a younger one that others see too, and for those it stands as it is.
#[derive(Debug, Default)]
struct OfNamespace<'a> {
    local: Hosts<'a>,
    exported: Hosts<'a>,
}

impl<'a> OfNamespace<'a> {
    /// Every host once: exact names by name, then wildcards, the longest first.
    fn hosts(&self) -> Vec<&str> {
        let all: BTreeSet<&str> = self.local.hosts().chain(self.exported.hosts()).collect();
        let mut all: Vec<&str> = all.into_iter().collect();
        all.sort_by_key(|host| match host.strip_prefix('*') {
            Some(end) => (true, std::cmp::Reverse(end.len())),
            None => (false, std::cmp::Reverse(0)),
        });
        all
    }

    /// Every rule, merged as its own proxies see it, and then what others see otherwise.
    fn rules(&self) -> impl Iterator<Item = &Merged<'a>> {
        let is_twin = |rule: &&Merged<'a>| {
            let of_host = self.local.exact.get(&rule.host).or_else(|| {
                let found = self.local.wildcards.iter().find(|(host, _)| *host == rule.host);
                found.map(|(_, list)| list)
            });
            of_host.is_some_and(|list| list.iter().any(|local| local.is_of_the_same(rule)))
        };
        self.local.all().chain(self.exported.all().filter(move |rule| !is_twin(rule)))
    }
}

/// All DestinationRules of a mesh, ready to be looked up.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// The root namespace.
    pub root: &'a str,
    private_by_default: bool,
    namespaces: BTreeMap<&'a str, OfNamespace<'a>>,
}

impl<'a> Lookup<'a> {
    /// Reads the DestinationRules; `domain` is the DNS domain of the cluster's services. Of one resource that is there
    /// in several versions the last counts.
    pub fn of(mesh: &'a Mesh, domain: &str) -> Self {
        let mut rules: Vec<&Resource> = mesh.distinct("DestinationRule");
        rules.sort_by_key(|rule| {
            // Those with a selector come first.
            let is_general = rule.node.at("spec.workloadSelector").is_none();
            let created = rule.node.text("metadata.creationTimestamp").unwrap_or_default();
            (is_general, created, rule.name.as_str(), rule.namespace())
        });
        let configs = || mesh.mesh_configs().map(|config| &config.node);
        let mut all = Self {
            root: mesh.root(),
            private_by_default: configs()
                .any(|config| config.list("defaultDestinationRuleExportTo").iter().any(|to| to.text("") == Some("."))),
            namespaces: BTreeMap::new(),
        };
        for rule in rules {
            if let Some(host) = rule.node.text("spec.host") {
                let host = dns_name::full(host, rule.namespace(), domain);
                let alone = Merged::alone(rule, host);
                let of_namespace = all.namespaces.entry(rule.namespace()).or_default();
                if !alone.is_private(all.private_by_default) {
                    of_namespace.exported.add(alone.clone());
                }
                if alone.is_local() {
                    of_namespace.local.add(alone);
                }
            }
        }
        for of_namespace in all.namespaces.values_mut() {
            of_namespace.local.sort();
            of_namespace.exported.sort();
        }
        all
    }

    /// The namespaces that have rules.
    pub fn namespaces(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.namespaces.keys().copied()
    }

    /// The hosts for which a namespace has rules, in the order of [`Lookup::rule_for`].
    pub fn hosts_in(&self, namespace: &str) -> Vec<&str> {
        self.namespaces.get(namespace).map(OfNamespace::hosts).unwrap_or_default()
    }

    /// Every rule: of each namespace first as its own proxies see them, else in no order.
    pub fn rules(&self) -> impl Iterator<Item = &Merged<'a>> {
        self.namespaces.values().flat_map(OfNamespace::rules)
    }

    /// Whether other namespaces do not see a rule.
    pub fn is_private(&self, rule: &Merged<'_>) -> bool {
        rule.is_private(self.private_by_default)
    }

    /// What the client's own namespace has for a host: `None`: nothing, so the search goes on; `Some(None)`: rules, but
    /// none for these proxies, and the search is over.
    pub fn own(&self, client: Client<'_>, host: &str) -> Option<Option<&Merged<'a>>> {
        let namespace = client.namespace?;
        let hosts = &self.namespaces.get(namespace)?.local;
        let found = match namespace == self.root {
            true => hosts.most_special(host, |rule| self.is_private(rule)),
            false => hosts.most_special(host, |_| true),
        };
        let is_chosen = |rule: &&&Merged<'a>| {
            rule.selector.as_ref().is_some_and(|labels| {
                labels.iter().all(|(key, value)| client.labels.iter().any(|(k, v)| k == key && v == value))
            })
        };
        let general = || found.iter().rev().find(|rule| rule.selector.is_none());
        (!found.is_empty()).then(|| found.iter().find(is_chosen).or_else(general).copied())
    }

    /// What a namespace exports to the client for a host.
    pub fn exported(&self, from: &str, client: Client<'_>, host: &str) -> Option<&Merged<'a>> {
        let found = self.namespaces.get(from)?.exported.most_special(host, |_| true);
        found.into_iter().rev().find(|rule| rule.is_exported_to(client.namespace))
    }

    /// Whether a namespace exports rules for exactly this host, to whomever: then its wildcards do not stand for it.
    pub fn exports(&self, from: &str, host: &str) -> bool {
        self.namespaces.get(from).is_some_and(|rules| rules.exported.exact.contains_key(host))
    }

    /// The rules that would hold if this one were not there, the nearest first: of its namespace those with a less
    /// special host, then of the service's (`services`), then of the root namespace.
    pub fn hidden_by(&self, rule: &Merged<'a>, services: &[&str]) -> Vec<&Merged<'a>> {
        let client = Client { namespace: Some(rule.namespace), labels: &[] };
        let below = |hosts: &'_ Hosts<'a>| {
            let host = rule.host.as_str();
            hosts.wildcards.iter().position(|(pattern, _)| pattern != host && dns_name::covers(pattern, host))
        };
        let own = self.namespaces.get(rule.namespace).map(|rules| &rules.local);
        let less_special =
            own.and_then(|hosts| hosts.wildcards.get(below(hosts)?)).into_iter().flat_map(|(_, list)| list);
        let mut found: Vec<&Merged<'a>> = less_special.filter(|other| other.selector == rule.selector).collect();
        if rule.namespace != self.root {
            let elsewhere = services.iter().filter(|namespace| **namespace != rule.namespace);
            found.extend(elsewhere.filter_map(|namespace| self.exported(namespace, client, &rule.host)));
            found.extend(self.exported(self.root, client, &rule.host));
        }
        found
    }

    /// The rule that the client gets for a host; `services`: where the service is, as far as it is known.
    pub fn rule_for<'s>(
        &self,
        client: Client<'_>,
        host: &str,
        mut services: impl Iterator<Item = &'s str>,
    ) -> Option<&Merged<'a>> {
        match self.own(client, host) {
            Some(found) => found,
            None => services
                .find_map(|namespace| self.exported(namespace, client, host))
                .or_else(|| self.exported(self.root, client, host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, more: &str) -> String {
        let (namespace, name) = name.split_once('/').unwrap();
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: \
             {namespace}}}\nspec: {{{more}}}\n"
        )
    }

    /// The titles of the rules that a client gets for a service of `shop`.
    fn found(rules: &[String], namespace: Option<&str>, labels: &[(&str, &str)]) -> Option<String> {
        let mesh = Mesh::of_text(&rules.concat());
        let lookup = Lookup::of(&mesh, "cluster.local");
        let labels: Vec<(String, String)> = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let client = Client { namespace, labels: &labels };
        let rule = lookup.rule_for(client, "web.shop.svc.cluster.local", ["shop"].into_iter());
        rule.map(|rule| rule.titles().replace("DestinationRule ", ""))
    }

    #[test]
    fn the_nearest_namespace_wins_and_there_the_most_special_host() {
        let rules = [
            rule("istio-system/all", "host: '*.local'"),
            rule("shop/web", "host: web"),
            rule("front/all", "host: '*.svc.cluster.local'"),
            rule("front/shop", "host: '*.shop.svc.cluster.local'"),
        ];
        assert_eq!(found(&rules, None, &[]).as_deref(), Some("shop/web"));
        assert_eq!(found(&rules, Some("front"), &[]).as_deref(), Some("front/shop"));
        assert_eq!(found(&rules[..1], Some("back"), &[]).as_deref(), Some("istio-system/all"));
        assert_eq!(found(&rules[2..], Some("back"), &[]), None);
    }

    #[test]
    fn what_is_not_exported_is_not_found_elsewhere() {
        let rules = [rule("shop/web", "host: web, exportTo: ['.']"), rule("istio-system/all", "host: '*'")];
        assert_eq!(found(&rules, Some("shop"), &[]).as_deref(), Some("shop/web"));
        assert_eq!(found(&rules, Some("back"), &[]).as_deref(), Some("istio-system/all"));
        let named = [rule("shop/web", "host: web, exportTo: [back]")];
        assert_eq!(found(&named, Some("back"), &[]).as_deref(), Some("shop/web"));
        assert_eq!(found(&named, Some("shop"), &[]), None);
        assert_eq!(found(&named, None, &[]), None);
    }

    #[test]
    fn what_others_see_is_merged_apart_from_what_the_namespace_sees() {
        let host = "host: web.shop.svc.cluster.local";
        // The older one is for its own namespace; the younger is for another too.
        let rules =
            [rule("shop/a", &format!("{host}, exportTo: [.]")), rule("shop/b", &format!("{host}, exportTo: [., one]"))];
        assert_eq!(found(&rules, Some("shop"), &[]).as_deref(), Some("shop/a, shop/b"));
        assert_eq!(found(&rules, Some("one"), &[]).as_deref(), Some("shop/b"));
        assert_eq!(found(&rules, Some("two"), &[]), None);
        // The older one is for another namespace alone.
        let rules = [
            rule("shop/a", &format!("{host}, exportTo: [one]")),
            rule("shop/b", &format!("{host}, exportTo: [., one]")),
        ];
        assert_eq!(found(&rules, Some("shop"), &[]).as_deref(), Some("shop/b"));
        assert_eq!(found(&rules, Some("one"), &[]).as_deref(), Some("shop/a, shop/b"));
    }

    #[test]
    fn only_rules_with_the_same_reach_are_merged() {
        let host = "host: web.shop.svc.cluster.local";
        let plain = [rule("shop/a", host), rule("shop/b", host)];
        assert_eq!(found(&plain, None, &[]).as_deref(), Some("shop/a, shop/b"));
        let apart =
            [rule("shop/a", &format!("{host}, exportTo: [one]")), rule("shop/b", &format!("{host}, exportTo: [two]"))];
        assert_eq!(found(&apart, Some("one"), &[]).as_deref(), Some("shop/a"));
        assert_eq!(found(&apart, Some("two"), &[]).as_deref(), Some("shop/b"));
        let selects =
            |name: &str, app: &str| rule(name, &format!("{host}, workloadSelector: {{matchLabels: {{app: {app}}}}}"));
        let selected = [selects("src/a", "a"), selects("src/b", "b"), rule("shop/web", host)];
        assert_eq!(found(&selected, Some("src"), &[("app", "b")]).as_deref(), Some("src/b"));
        // Rules that select others hide what other namespaces have.
        assert_eq!(found(&selected, Some("src"), &[]), None);
        assert_eq!(found(&selected, None, &[]).as_deref(), Some("shop/web"));
    }
}
