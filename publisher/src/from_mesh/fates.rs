//! What became of each DestinationRule: whether entries came of it, and if not, why.

use super::remarks::{self, Remarks};
use mesh::kinds::{self, Mistaken};
use mesh::policy::HostRules;
use mesh::{Mesh, Resource};

/// The titles of the rules, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    with_entry: usize,
    refused: usize,
    without_detection: Vec<String>,
    of_others: usize,
}

impl Fates {
    /// Sorts the rules that were read; `refused`: how many there are besides, which Istio refuses.
    pub(crate) fn of(rules: &[&Resource], refused: usize, remarks: &Remarks<'_>) -> Self {
        let mut fates = Self { refused, ..Self::default() };
        for rule in rules {
            let own = HostRules::of(&rule.node);
            let detects = own.scopes().into_iter().any(|(port, it)| own.block("outlierDetection", port, it).is_some());
            if !remarks.is_used(rule) {
                fates.of_others += 1;
            } else if detects {
                fates.with_entry += 1;
            } else {
                fates.without_detection.push(rule.title());
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
            (self.refused, "that Istio refuses"),
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
    // What is of a version that is not served is read all the same.
    let is_odd = |resource: &&Resource| !matches!(kinds::mistaken(resource), None | Some(Mistaken::Version(_)));
    let odd = mesh.resources.iter().filter(is_odd);
    remarks::list(odd.map(Resource::title), |count, titles| {
        let count = count.replacen("rule", "resource", 1);
        format!(
            "not read, {count} of a kind that the API group does not have: {titles}; `faultline validate` says more"
        )
    })
}
