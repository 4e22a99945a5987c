//! The rule for settings of a port or a subset that replace more than they say (FL114).
//!
//! istiod takes a port's settings instead of the whole policy (`GetPortLevelTrafficPolicy`), and a subset's block
//! instead of the host's block (`mergeTrafficPolicy`).

use super::finding::{Draft, Severity};
use super::known::Known;
use super::{outlier, rules};
use mesh::policy::{HostRules, Policy};
use mesh::{Resource, dns_name};

/// Every finding of one DestinationRule.
pub(super) fn check(rule: &Resource, known: &Known<'_>) -> Vec<Draft> {
    let rules = HostRules::of(&rule.node);
    let name = dns_name::full(rule.node.text("spec.host").unwrap_or_default(), rule.namespace(), known.domain);
    let ports = known.services.get(&name).map(|service| &service.ports);
    let mut found = Vec::new();
    let host = (rules.block("outlierDetection", None, None), rules.locality(None, None));
    if let Some(policy) = &rules.policy {
        for (port, settings) in policy.port_settings() {
            let is_only = ports.is_some_and(|ports| ports.iter().all(|known| *known == port));
            found.extend(of_port(&settings, port, is_only, &host, known));
        }
    }
    for subset in &rules.subsets {
        let Some(policy) = &subset.policy else { continue };
        let own = (rules.block("outlierDetection", None, Some(subset)), rules.locality(None, Some(subset)));
        for (port, settings) in policy.port_settings() {
            found.extend(of_port(&settings, port, false, &own, known));
        }
        if let Some(balancer) = policy.block("loadBalancer")
            && balancer.block("localityLbSetting").is_none()
            && let Some(lost) = host.1.as_ref().and_then(|settings| wanted(settings, known))
        {
            let problem = format!("replaces the host's `loadBalancer`: subset `{}` has not its {lost}", subset.name);
            let words = [
                problem.as_str(),
                "a subset's block takes the place of the host's block: the mesh's own locality settings hold for the \
                    subset",
                "repeat `localityLbSetting` in the subset's `loadBalancer`",
            ];
            found.push(Draft::new(rules::FL114, Severity::Warning, balancer.path, words));
        }
    }
    found
}

type Blocks<'a> = (Option<Policy<'a>>, Option<Policy<'a>>);

fn of_port(settings: &Policy<'_>, port: u64, is_only: bool, of_host: &Blocks<'_>, known: &Known<'_>) -> Option<Draft> {
    let own = settings.block("loadBalancer").and_then(|balancer| balancer.block("localityLbSetting"));
    let detects = settings.block("outlierDetection").is_some();
    // Failover of the port's own without detection is FL101.
    let told = own.as_ref().is_some_and(|own| outlier::without_detection(own, known).is_some());
    let detection = (of_host.0.is_some() && !detects && !told).then_some("outlier detection".to_owned());
    let localities = of_host.1.as_ref().filter(|_| own.is_none()).and_then(|settings| wanted(settings, known));
    let lost: Vec<String> = detection.into_iter().chain(localities).collect();
    if lost.is_empty() {
        return None;
    }
    let only = if is_only { ", the service's only port," } else { "" };
    let problem = format!("replaces the whole policy: port {port}{only} has not its {}", lost.join(" and "));
    let words = [
        problem.as_str(),
        "settings of a port take the place of everything beside them, and what they leave out has Istio's default: \
            without outlier detection nothing is ejected, and nothing fails over",
        "repeat `outlierDetection` and `loadBalancer` in the settings of the port",
    ];
    Some(Draft::new(rules::FL114, Severity::Warning, settings.path.clone(), words))
}

/// What locality settings ask for that the mesh's default is not.
fn wanted(settings: &Policy<'_>, known: &Known<'_>) -> Option<String> {
    let node = settings.node;
    let listed = ["failover", "failoverPriority", "distribute"].into_iter().find(|name| !node.list(name).is_empty());
    match (node.flag("enabled"), listed) {
        (Some(false), _) => (!known.locality_off).then(|| "`enabled: false`".to_owned()),
        (_, Some(name)) => Some(format!("`{name}`")),
        _ => known.locality_off.then(|| "`localityLbSetting`".to_owned()),
    }
}
