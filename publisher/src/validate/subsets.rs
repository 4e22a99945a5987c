//! The rule for a subset that no endpoint is in (FL121).
//!
//! A subset is a cluster of its own with the endpoints that have its labels. istiod pushes it with none all the same.

use super::finding::{Draft, Severity};
use super::known::Known;
use super::rules;
use mesh::policy::HostRules;
use mesh::services::Discovery;
use mesh::{Resource, dns_name};

/// Every subset of one DestinationRule that is empty, as far as the files tell.
pub(super) fn check(rule: &Resource, known: &Known<'_>) -> Vec<Draft> {
    let host = dns_name::full(rule.node.text("spec.host").unwrap_or_default(), rule.namespace(), known.domain);
    let Some(service) = known.services.get(&host) else { return Vec::new() };
    if matches!(service.discovery, Discovery::Passthrough | Discovery::Alias) {
        return Vec::new();
    }
    let subsets = HostRules::of(&rule.node).subsets;
    let empty = subsets
        .iter()
        .enumerate()
        .filter(|(_, subset)| !subset.labels.is_empty() && service.has_any_with(&subset.labels) == Some(false));
    let draft = |(index, subset): (usize, &mesh::policy::Subset<'_>)| {
        let labels: Vec<String> = subset.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let (severity, unsure) = match service.is_complete {
            true => (Severity::Warning, ""),
            false => (Severity::Note, " in these files"),
        };
        let problem = format!("no endpoint of `{host}`{unsure} has `{}`", labels.join(", "));
        let at_run_time = "the subset is a cluster without endpoints: requests that a route sends to it are answered \
            with 503 (`UH`), and nothing fails over, as there is nothing to fail over to";
        let fix = "give endpoints these labels, or name labels that they have; remove the subset if no route uses it";
        let path = format!("spec.subsets[{index}].labels");
        Draft::new(rules::FL121, severity, path, [&problem, at_run_time, fix])
    };
    empty.map(draft).collect()
}
