//! Rules for the hosts and ports that DestinationRules name (FL109, FL110): do they exist.

use std::collections::BTreeSet;

use super::finding::{Draft, Severity};
use super::known::Known;
use super::rules;
use mesh::policy::HostRules;
use mesh::{Resource, dns_name};

/// Every finding about the host and the ports of one DestinationRule.
pub(crate) fn check(rule: &Resource, known: &Known<'_>) -> Vec<Draft> {
    let written = rule.node.text("spec.host").unwrap_or_default();
    let name = dns_name::full(written, rule.namespace(), known.domain);
    let mut found: Vec<Draft> =
        not_completed(written, known).or_else(|| otherwise_written(written, known)).into_iter().collect();
    let rules = HostRules::of(&rule.node);
    let service = known.services.get(&name).filter(|service| !service.ports.is_empty());
    for policy in rules.policy.iter().chain(rules.subsets.iter().filter_map(|subset| subset.policy.as_ref())) {
        let mut seen = BTreeSet::new();
        for (index, settings) in policy.node.list("portLevelSettings").iter().enumerate() {
            let Some(block) = settings.field("port") else { continue };
            let port = block.number("number").unwrap_or(0);
            let mut fix = "name a port of the service (its `port`, not the container's `targetPort`)";
            let problem = match service {
                _ if !(1..=65535).contains(&port) => format!("{port} is no port"),
                _ if !seen.insert(port) => {
                    fix = "write all settings of a port into one entry";
                    format!("port {port} has settings above already, and the first count")
                }
                Some(service) if !service.ports.contains(&port) => {
                    let ports: Vec<String> = service.ports.iter().map(u64::to_string).collect();
                    format!("`{name}` has no port {port}, but {}", ports.join(", "))
                }
                _ => continue,
            };
            let path = format!("{}.portLevelSettings[{index}].port.number", policy.path);
            let at_run_time = "these settings are never used: what holds is the policy without them";
            found.push(Draft::new(rules::FL109, Severity::Warning, path, [&problem, at_run_time, fix]));
        }
    }
    found
}

/// FL110: a name of a Kubernetes service with capitals or a dot at its end, which Istio compares letter by letter.
fn otherwise_written(written: &str, known: &Known<'_>) -> Option<Draft> {
    let plain = written.trim_end_matches('.').to_ascii_lowercase();
    let of_kubernetes = !plain.contains('.') || plain.ends_with(&format!(".svc.{}", known.domain));
    if plain == written || plain.is_empty() || !of_kubernetes || known.services.get(written).is_some() {
        return None;
    }
    let why = if written.ends_with('.') { "ends with a dot" } else { "has capitals" };
    let problem = format!("`{written}` {why}, and Istio compares names letter by letter");
    let at_run_time = "no service has that name, so the rule holds for none, and nothing says so";
    let fix = format!("write `{plain}`");
    Some(Draft::new(rules::FL110, Severity::Warning, "spec.host".into(), [&problem, at_run_time, &fix]))
}

/// FL110: a host name that Istio does not complete.
fn not_completed(written: &str, known: &Known<'_>) -> Option<Draft> {
    let is_namespace = |name: &str| known.namespaces.contains(name);
    let full = dns_name::meant_by(written, is_namespace, known.domain)?;
    if known.services.get(written).is_some() {
        return None;
    }
    Some(Draft {
        rule: rules::FL110,
        severity: Severity::Warning,
        path: "spec.host".into(),
        problem: format!("`{written}` has a dot, so Istio takes it for a full name"),
        at_run_time: "no service has that name, so the rule holds for none, and nothing says so".into(),
        fix: format!("write `{full}`"),
    })
}
