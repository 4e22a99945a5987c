//! What the operator is told of a derivation: what was assumed, what was merged, and what was left out, with a count.

use std::collections::{BTreeMap, BTreeSet};

use mesh::fields::{self, Stray};
use mesh::lookup::{Client, Lookup, Merged};
use mesh::services::{Discovery, Services};
use mesh::{Mesh, Resource, Unread, dns_name};

/// How many of a kind are named one by one.
const NAMED: usize = 5;

/// What was meant to be read, and was not, in a sentence.
pub(crate) fn not_read(meant: &[&Unread]) -> Option<String> {
    let place = |unread: &&Unread| {
        let line = unread.position.map_or_else(String::new, |position| format!(":{}", position.line));
        format!("{}{line} is {}", unread.file, unread.what)
    };
    let named: Vec<String> = meant.iter().take(NAMED).map(place).collect();
    let more = meant.len().checked_sub(NAMED).filter(|more| *more > 0);
    let more = more.map_or_else(String::new, |more| format!("; and {more} more"));
    (!named.is_empty())
        .then(|| format!("not read, or not wholly: {}{more}; `faultline validate` says what to do", named.join("; ")))
}

/// Collects what is to be said while entries are made.
#[derive(Debug, Default)]
pub(crate) struct Remarks<'a> {
    used: BTreeMap<(&'a str, &'a str), &'a Merged<'a>>,
    outside: BTreeMap<String, (String, usize)>,
}

impl<'a> Remarks<'a> {
    /// These rules hold somewhere.
    pub(crate) fn used(&mut self, merged: &'a Merged<'a>) {
        for rule in &merged.rules {
            self.used.insert((rule.namespace(), &rule.name), merged);
        }
    }

    /// Whether a rule holds somewhere.
    pub(crate) fn is_used(&self, rule: &Resource) -> bool {
        self.used.contains_key(&(rule.namespace(), rule.name.as_str()))
    }

    /// A host of which the files do not say where it is; `rules`: the number of namespaces that have rules for it.
    pub(crate) fn outside(&mut self, host: &str, taken: &str, rules: usize) {
        self.outside.insert(host.to_owned(), (taken.to_owned(), rules));
    }

    /// Whether anything was assumed about where rules and services are.
    pub(crate) fn assumed(&self, mesh: &Mesh) -> bool {
        !self.outside.is_empty() || mesh.istio("DestinationRule").any(|rule| rule.namespace.is_none())
    }

    /// What was assumed and decided, as sentences.
    pub(crate) fn decided(&self, mesh: &'a Mesh, services: &Services) -> Vec<String> {
        let mut notes = versions(mesh);
        let homeless = mesh.distinct("DestinationRule").into_iter().filter(|rule| rule.namespace.is_none());
        notes.extend(list(homeless.map(Resource::title), |count, titles| {
            format!(
                "{count} without a namespace, taken as if applied to `default`: {titles}. Host names and who sees the \
                 rule depend on it: say with --namespace where it is applied"
            )
        }));
        for (host, (taken, rules)) in self.outside.iter().filter(|(_, (_, rules))| *rules > 1) {
            notes.push(format!(
                "{host}: has rules in several namespaces ({rules}), and no ServiceEntry says in which it is; taken are \
                 those of {taken}"
            ));
        }
        let lone = self.outside.iter().filter(|(_, (_, rules))| *rules == 1);
        notes.extend(list(lone.map(|(host, (taken, _))| format!("{host} ({taken})")), |count, hosts| {
            let count = count.replacen("rule", "host", 1);
            format!("{count} taken for services of the rule's namespace, as no ServiceEntry tells: {hosts}")
        }));
        let merged: BTreeSet<String> = self
            .used
            .values()
            .filter(|merged| merged.rules.len() > 1)
            .map(|merged| {
                let (host, titles) = (&merged.host, merged.titles());
                format!(
                    "{host}: {titles} are merged as istiod does: the policy of the oldest that has one, \
                     everyone's subsets"
                )
            })
            .collect();
        notes.extend(merged);
        notes.extend(self.strays());
        let unmoved = self.used.values().filter(|merged| {
            services
                .get(&merged.host)
                .is_some_and(|service| matches!(service.discovery, Discovery::Headless | Discovery::Passthrough))
        });
        notes.extend(list(unmoved.map(|merged| merged.titles()), |count, titles| {
            format!(
                "{count} for services to whose endpoints sidecars connect as the client chose (headless, resolution \
                 NONE): {titles}. An ejection moves no request there"
            )
        }));
        notes
    }

    /// Fields that Istio does not read.
    fn strays(&self) -> Vec<String> {
        let mut titles = BTreeSet::new();
        for merged in self.used.values() {
            for rule in &merged.rules {
                for stray in fields::strays(rule) {
                    let why = match stray {
                        Stray::Removed { .. } => "no longer reads",
                        Stray::Unknown { .. } => "does not know",
                    };
                    titles.insert(format!("{}: {}, which Istio {why}", rule.title(), stray.path()));
                }
            }
        }
        list(titles.into_iter(), |count, titles| format!("{} not read: {titles}", count.replacen("rule", "field", 1)))
            .into_iter()
            .collect()
    }

    /// What was left out that holds for some proxies or was meant to, as sentences, and how many rules these are.
    pub(crate) fn left_out(&self, lookup: &'a Lookup<'a>, client: Client<'_>) -> (Vec<String>, usize) {
        let mut reasons: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut count = BTreeSet::new();
        for merged in lookup.rules() {
            let of_others = client.namespace.is_some_and(|namespace| namespace != merged.namespace);
            if merged.rules.iter().any(|rule| self.is_used(rule)) || of_others {
                continue;
            }
            let namespace = merged.namespace;
            let (reason, how) = match (&merged.selector, merged.export_to.is_empty()) {
                (Some(labels), _) => {
                    let labels: Vec<String> =
                        labels.iter().map(|(key, value)| format!(" --selector {key}={value}")).collect();
                    (
                        "for the proxies that a workloadSelector names alone",
                        format!("--namespace {namespace}{}", labels.concat()),
                    )
                }
                (None, false) => {
                    let to: Vec<&str> =
                        merged.export_to.iter().map(|to| if *to == "." { namespace } else { to }).collect();
                    ("only for the namespaces that exportTo names", format!("--namespace {}", to.join(" or ")))
                }
                (None, true) if client.namespace.is_none() => (
                    "found by the proxies of the rule's own namespace alone, as the service is in another",
                    format!("--namespace {namespace}"),
                ),
                _ => continue,
            };
            reasons.entry(reason).or_default().insert(format!("{} (for {}: {how})", merged.titles(), merged.host));
            count.extend(merged.rules.iter().map(|rule| rule.title()));
        }
        let mut notes: Vec<String> = Vec::new();
        for (reason, titles) in reasons {
            notes.extend(list(titles.into_iter(), |count, titles| format!("left out, {count}: {reason}: {titles}")));
        }
        (notes, count.len())
    }
}

/// `3 rules`, and the first few by name; `None` if there are none.
pub(crate) fn list(items: impl Iterator<Item = String>, say: impl Fn(&str, &str) -> String) -> Option<String> {
    let mut items: Vec<String> = items.collect();
    items.dedup();
    let more = items.len().saturating_sub(NAMED);
    let count = if items.len() == 1 { "1 rule".to_owned() } else { format!("{} rules", items.len()) };
    items.truncate(NAMED);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!items.is_empty()).then(|| say(&count, &format!("{}{and_more}", items.join(", "))))
}

/// Rules for a name with a dot that is not full: Istio completes no such name, so they hold for no service.
pub(crate) fn not_completed(rules: &[&Resource], services: &Services, domain: &str) -> Option<String> {
    let is_namespace = |name: &str| rules.iter().any(|rule| rule.namespace() == name);
    let odd = rules.iter().filter_map(|rule| {
        let host = rule.node.text("spec.host")?;
        let full = dns_name::meant_by(host, is_namespace, domain).filter(|_| services.get(host).is_none())?;
        Some(format!("{} ({host}; if a Kubernetes service is meant, write {full})", rule.title()))
    });
    list(odd, |count, titles| {
        format!("{count} for a name with a dot, which Istio does not complete, so that no service has it: {titles}")
    })
}

/// Rules of which the files have different versions.
fn versions(mesh: &Mesh) -> Vec<String> {
    let told = mesh.versions().into_iter().filter(|versions| {
        versions.first().is_some_and(|first| {
            first.is_istio("DestinationRule") && versions.iter().any(|it| it.node.json() != first.node.json())
        })
    });
    let written = told.filter_map(|versions| {
        let places: Vec<String> = versions.iter().map(|it| format!("{}:{}", it.file, it.node.position.line)).collect();
        let (last, title) = (places.last()?.clone(), versions.first()?.title());
        Some(format!("{title}: is there in {} versions ({}); taken is that of {last}", places.len(), places.join(", ")))
    });
    written.collect()
}
