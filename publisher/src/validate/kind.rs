//! The rule for a kind that its API group does not have (FL008).

use super::finding::{Draft, Severity};
use super::rules;
use mesh::Resource;
use mesh::kinds::{self, Mistaken};

/// What is wrong with the kind of a resource.
pub(super) fn check(resource: &Resource) -> Option<Draft> {
    let (kind, version) = (&resource.kind, resource.node.text("apiVersion").unwrap_or_default());
    let refused = "the API server refuses it (`no matches for kind`); nothing in this document was checked";
    let (severity, path, problem, at_run_time, fix) = match kinds::mistaken(resource)? {
        Mistaken::Kind(meant) => {
            let problem = format!("`{kind}` is no kind of `{version}`");
            (Severity::Error, "kind", problem, refused, format!("write `kind: {meant}`"))
        }
        Mistaken::Group(group) => {
            let problem = format!("`{version}` has no kind `{kind}`");
            (Severity::Error, "apiVersion", problem, refused, format!("write a version of {group}"))
        }
        Mistaken::Version(known) => {
            let problem = format!("`{version}` has no kind `{kind}` up to Istio 1.31, but in {}", known.join(", "));
            let at_run_time = "an API server without this version refuses it (`no matches for kind`)";
            (Severity::Warning, "apiVersion", problem, at_run_time, format!("write `{}/{}`", resource.group, known[0]))
        }
        Mistaken::Unknown => {
            let problem = format!("`{kind}` is not among the kinds of `{version}` up to Istio 1.31");
            let at_run_time = "an API server without this kind refuses it; nothing in this document was checked";
            (Severity::Warning, "kind", problem, at_run_time, "correct the kind, or the apiVersion".to_owned())
        }
    };
    Some(Draft::new(rules::FL008, severity, path.into(), [&problem, at_run_time, &fix]))
}
