//! Rules for the hosts and ports that DestinationRules name (FL108 to FL110): do they exist, and does only one rule
//! cover them.

use std::collections::BTreeMap;

use super::finding::{Draft, Finding, Severity};
use super::known::Known;
use super::rules;
use crate::mesh::policy::HostRules;
use crate::mesh::{Mesh, Resource, dns_name};

/// Every finding about the host and the ports of one DestinationRule.
pub(crate) fn check(rule: &Resource, known: &Known<'_>) -> Vec<Draft> {
    let written = rule.node.text("spec.host").unwrap_or_default();
    let name = dns_name::full(written, rule.namespace(), known.domain);
    let mut found: Vec<Draft> = not_completed(written, known).into_iter().collect();
    let Some(service) = known.services.get(&name).filter(|service| !service.ports.is_empty()) else { return found };
    let rules = HostRules::of(&rule.node);
    let policies = rules.policy.iter().chain(rules.subsets.iter().filter_map(|subset| subset.policy.as_ref()));
    for policy in policies {
        for (index, settings) in policy.node.list("portLevelSettings").iter().enumerate() {
            let Some(port) = settings.number("port.number").filter(|port| !service.ports.contains(port)) else {
                continue;
            };
            let ports: Vec<String> = service.ports.iter().map(u64::to_string).collect();
            found.push(Draft {
                rule: rules::FL109,
                severity: Severity::Warning,
                path: format!("{}.portLevelSettings[{index}].port.number", policy.path),
                problem: format!("`{name}` has no port {port}, but {}", ports.join(", ")),
                at_run_time: "these settings are never used: what holds is the policy without them".into(),
                fix: "name a port of the service (its `port`, not the container's `targetPort`)".into(),
            });
        }
    }
    found
}

/// FL110: a host name that Istio does not complete.
fn not_completed(written: &str, known: &Known<'_>) -> Option<Draft> {
    let (name, rest) = written.split_once('.')?;
    let namespace = rest.strip_suffix(".svc").unwrap_or(rest);
    let is_short = rest.ends_with(".svc") || known.namespaces.contains(namespace);
    if !is_short || namespace.contains('.') || written.contains('*') || known.services.get(written).is_some() {
        return None;
    }
    Some(Draft {
        rule: rules::FL110,
        severity: Severity::Warning,
        path: "spec.host".into(),
        problem: format!("`{written}` has a dot, so Istio takes it for a full name"),
        at_run_time: "no service has that name, so the rule holds for none, and nothing says so".into(),
        fix: format!("write `{name}.{namespace}.svc.{}`", known.domain),
    })
}

/// FL108: several rules for one host; reported at every rule but the one that wins.
pub(crate) fn shared(mesh: &Mesh, known: &Known<'_>) -> Vec<Finding> {
    let mut hosts: BTreeMap<(String, String), Vec<&Resource>> = BTreeMap::new();
    for rule in mesh.istio("DestinationRule") {
        let selects = !rule.node.map("spec.workloadSelector.matchLabels").is_empty();
        if let Some(written) = rule.node.text("spec.host").filter(|_| !selects) {
            let name = dns_name::full(written, rule.namespace(), known.domain);
            hosts.entry((name, rule.namespace().to_owned())).or_default().push(rule);
        }
    }
    let mut found = Vec::new();
    for ((name, _), mut rules) in hosts {
        rules.sort_by_key(|rule| rule.node.text("metadata.creationTimestamp").unwrap_or_default());
        let Some((first, others)) = rules.split_first() else { continue };
        for other in others {
            let draft = Draft {
                rule: rules::FL108,
                severity: Severity::Warning,
                path: "spec.host".into(),
                problem: format!("{} speaks of `{name}` too", first.title()),
                at_run_time:
                    "Istio adds the subsets of both and takes the policy of the older one alone: the other's is \
                              ignored, and after both are deleted and applied again, it may be the other way round"
                        .into(),
                fix: "put both into one DestinationRule".into(),
            };
            found.push(draft.in_resource(other));
        }
    }
    found
}
