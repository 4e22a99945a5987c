//! Rules for fields that Istio does not read (FL112, FL113).

use super::finding::{Draft, Severity};
use super::rules;
use mesh::fields::{self, Stray};
use mesh::{MESH_CONFIG, Resource};

/// Every such field of one resource.
pub(super) fn check(resource: &Resource) -> Vec<Draft> {
    // A MeshConfig is text to the API server.
    let lost = match resource.kind == MESH_CONFIG {
        true => "istiod goes on without it and says so in its log only: what is meant by it is not in force",
        false => "the API server drops it, or kubectl refuses the file: what is meant by it is not in force",
    };
    fields::strays(resource).into_iter().map(|stray| draft(stray, lost)).collect()
}

fn draft(stray: Stray, lost: &str) -> Draft {
    match stray {
        Stray::Unknown { path, remedy } => {
            let words = ["Istio has no such field here", lost, &remedy];
            Draft::new(rules::FL112, Severity::Error, path, words)
        }
        Stray::Removed { path } => {
            let words = [
                "Istio no longer reads this field",
                "the number is not in force: without consecutive5xxErrors, Envoy's default holds, 5 errors in a row",
                "write `consecutive5xxErrors`, or `consecutiveGatewayErrors` to count 502, 503 and 504 only",
            ];
            Draft::new(rules::FL113, Severity::Warning, path, words)
        }
    }
}
