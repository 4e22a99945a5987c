//! What an `exportTo` says twice, against itself, or of nobody: istiod's `validateExportTo`.

use std::collections::BTreeMap;

use super::names;
use super::refusal::{Refusal, texts};
use crate::Resource;

/// Every such entry of a DestinationRule or a ServiceEntry.
pub(super) fn check(resource: &Resource, is_rule: bool) -> Vec<Refusal> {
    let list = texts(&resource.node, "spec.exportTo");
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, text) in list.iter().copied().enumerate() {
        // A dot stands for the resource's own namespace.
        let namespace = if text == "." { resource.namespace.as_deref().unwrap_or(".") } else { text };
        let path = format!("spec.exportTo[{index}]");
        match seen.insert(namespace, text) {
            Some(earlier) if earlier == text => {
                found.push(Refusal::new(path, format!("`{text}` is there twice"), "name each namespace once"));
            }
            Some(_) => {
                let problem = format!("`.` and `{namespace}` are the same namespace");
                found.push(Refusal::new(path, problem, "name each namespace once"));
            }
            None if text == "~" && is_rule => {
                let fix = "write `.`, for the rule's own namespace";
                found.push(Refusal::new(path, "`~` is for ServiceEntries only", fix));
            }
            None if ["*", "~"].contains(&text) && list.len() > 1 => {
                let problem = format!("`{text}` stands beside others");
                found.push(Refusal::new(path, problem, "keep it alone, or name the namespaces"));
            }
            None if ![".", "*", "~"].contains(&text) && !names::is_label(text) => {
                let problem = format!("`{text}` is no name of a namespace");
                found.push(Refusal::new(path, problem, "write `.`, `*`, or a namespace's name: no patterns"));
            }
            None => {}
        }
    }
    let selects = is_rule && resource.node.at("spec.workloadSelector").is_some();
    let is_own = |to: &str| to == "." || to == resource.namespace();
    if selects && found.is_empty() && !list.iter().all(|to| is_own(to)) {
        let problem = "names other namespaces, and the rule has a workloadSelector";
        let fix = "remove it: such a rule holds in its own namespace only";
        found.push(Refusal::new("spec.exportTo", problem, fix));
    }
    found
}
