//! What became of each DestinationRule: whether entries came of it, and if not, why.

use super::remarks::{self, Remarks};
use mesh::policy::HostRules;
use mesh::{Mesh, Resource, kinds, outlier};

/// The titles of the rules, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    with_entry: usize,
    refused: Vec<String>,
    without_detection: Vec<String>,
    of_others: usize,
}

impl Fates {
    /// Sorts the rules that were read.
    pub(crate) fn of(rules: &[&Resource], remarks: &Remarks<'_>) -> Self {
        let mut fates = Self::default();
        for rule in rules {
            let own = HostRules::of(&rule.node);
            let blocks = own.scopes().into_iter().filter_map(|(port, subset)| {
                let block = own.block("outlierDetection", port, subset)?;
                Some(outlier::translate(block.node).is_ok())
            });
            let blocks: Vec<bool> = blocks.collect();
            if !remarks.is_used(rule) {
                fates.of_others += 1;
            } else if blocks.is_empty() {
                fates.without_detection.push(rule.title());
            } else if blocks.contains(&true) {
                fates.with_entry += 1;
            } else {
                fates.refused.push(rule.title());
            }
        }
        fates
    }

    /// The rules of which no entry came, by name, where nothing else says so.
    pub(crate) fn named(&self) -> Option<String> {
        remarks::list(self.without_detection.iter().cloned(), |count, titles| {
            format!("without outlier detection of their own, {count}: {titles}")
        })
    }

    /// How many rules each fate had.
    pub(crate) fn counted(&self) -> String {
        let counts = [
            (self.with_entry, "with entries"),
            (self.refused.len(), "with values that Istio refuses"),
            (self.without_detection.len(), "without outlier detection"),
            (self.of_others, "for other proxies"),
        ];
        let all: usize = counts.iter().map(|(count, _)| count).sum();
        let told: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let told = if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) };
        format!("DestinationRules read: {all}{told}")
    }
}

/// The resources whose kind is mistyped, so that none of them is a rule.
pub(crate) fn mistyped(mesh: &Mesh) -> Option<String> {
    let odd = mesh.resources.iter().filter(|resource| kinds::mistaken(resource).is_some());
    remarks::list(odd.map(Resource::title), |count, titles| {
        let count = count.replacen("rule", "resource", 1);
        format!(
            "not read, {count} of a kind that the API group does not have: {titles}; `faultline validate` says more"
        )
    })
}
