//! What the API server or Istio's webhook refuses (FL111; FL103, and of locality settings FL201, FL202 and FL204). Of
//! outlier detection, [`super::outlier`] says it where it looks.

use std::collections::BTreeSet;

use findings::rule::Rule;

use super::finding::{Draft, Severity};
use super::rules;
use mesh::refused::{self, Refusal, What};
use mesh::{MESH_CONFIG, Resource};

/// Adds every such finding about one resource, besides those at a place for which there is one already. What is said of
/// a value of another type as if it were not there is taken back.
pub(super) fn add(resource: &Resource, found: &mut Vec<Draft>) {
    let is_refusal = |draft: &Draft| [rules::FL103, rules::FL111].contains(&draft.rule);
    let mut refusals = refused::reasons(resource);
    found.retain(|draft| {
        let is_about = |it: &Refusal| it.what == What::Type && refused::is_inside(&draft.path, &it.path);
        is_refusal(draft) || !refusals.iter().any(is_about)
    });
    let told: BTreeSet<&str> = found.iter().filter(|it| is_refusal(it)).map(|draft| draft.path.as_str()).collect();
    refusals.retain(|refusal| !told.contains(refusal.path.as_str()));
    found.extend(refusals.into_iter().map(|refusal| draft(refusal, resource.kind == MESH_CONFIG)));
}

fn draft(refusal: Refusal, is_of_mesh: bool) -> Draft {
    let at_run_time = match (refusal.what, refusal.is_certain) {
        (_, false) => {
            "Istio's webhook looks at them in no order, and refuses the resource at one time and not at another"
        }
        _ if is_of_mesh => "istiod does not take the mesh configuration; the one before it stays in force",
        (What::Type, true) => "the API server refuses the resource; what was applied before it stays in force",
        (_, true) => "Istio's webhook refuses the resource; what was applied before it stays in force",
    };
    let severity = if refusal.is_certain { Severity::Error } else { Severity::Warning };
    Draft::new(rule(refusal.what), severity, refusal.path, [&refusal.problem, at_run_time, &refusal.fix])
}

fn rule(what: What) -> Rule {
    match what {
        What::Type | What::Value => rules::FL111,
        What::Exclusive => rules::FL201,
        What::Regions => rules::FL202,
        What::Weights => rules::FL204,
        What::Split => rules::FL103,
    }
}
