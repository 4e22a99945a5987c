//! What the annotations of a workload and its namespace allow hot-switch to do.

use hot_switch_core::standing::{Directions, Mode};
use mesh::yaml::node::Node;
use mesh::{Mesh, Resource};

use super::finding::{Draft, Severity};
use super::rules::HS108;
use super::sidecar;
use super::workload::{Pairs, Workload, pairs};
use crate::names::{
    ALLOW_UNPROTECTED, DIRECTIONS, GRANTED_AT, MODE, ORIGINAL_IMAGE, ORIGINAL_TLS_MODE, ORIGINAL_TUNNEL, WHY,
};

/// What every annotation of hot-switch begins with.
const PREFIX: &str = "hot-switch.faultline.dev/";

/// The annotations that people write: each with the values that it takes.
const ASKED: [(&str, &[&str]); 3] = [
    (MODE, &["off", "report", "act"]),
    (DIRECTIONS, &["both", "inbound", "outbound"]),
    (ALLOW_UNPROTECTED, &["true", "false"]),
];

/// The annotations that hot-switch writes itself.
const WRITTEN: [&str; 5] = [GRANTED_AT, WHY, ORIGINAL_IMAGE, ORIGINAL_TLS_MODE, ORIGINAL_TUNNEL];

/// What is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consent {
    /// What may be done.
    pub(crate) mode: Mode,
    /// Whether anybody wrote the mode.
    pub(crate) is_written: bool,
    /// With which traffic.
    pub(crate) directions: Directions,
    /// Whether protection may be lost.
    pub(crate) allow_unprotected: bool,
}

impl Consent {
    /// Reads the annotations of the pods and, for what they do not say, of the namespace.
    pub(crate) fn of(workload: &Workload<'_>, mesh: &Mesh) -> Self {
        let own = &workload.annotations;
        let of_namespace = sidecar::namespace(mesh, workload.namespace());
        let of_namespace = of_namespace.map(|node| pairs(node, "metadata.annotations")).unwrap_or_default();
        let said = |key: &str| own.get(key).or_else(|| of_namespace.get(key)).copied();
        let mode = said(MODE);
        Self {
            mode: Mode::of_annotation(mode),
            is_written: mode.is_some(),
            directions: Directions::of_annotation(said(DIRECTIONS)),
            allow_unprotected: said(ALLOW_UNPROTECTED) == Some("true"),
        }
    }
}

/// HS108: annotations under hot-switch's prefix that it does not know, or whose value it does not know; `path` is where
/// the annotations are.
pub(crate) fn unknown(node: &Node, path: &str) -> Vec<Draft> {
    let annotations: Pairs<'_> = pairs(node, path);
    let mut found = Vec::new();
    for (key, value) in annotations {
        if !key.starts_with(PREFIX) || WRITTEN.contains(&key) {
            continue;
        }
        let known = ASKED.iter().find(|(known, _)| *known == key);
        let (problem, fix) = match known {
            Some((_, values)) if values.contains(&value) => continue,
            Some((_, values)) => (format!("`{key}` is `{value}`"), format!("write one of {}", values.join(", "))),
            None => {
                let names: Vec<&str> = ASKED.iter().map(|(name, _)| *name).collect();
                (format!("there is no annotation `{key}`"), format!("write one of {}", names.join(", ")))
            }
        };
        let meaning = match key {
            MODE => "it is as if it were `report`: nothing is done",
            _ => "it is as if it were not there",
        };
        found.push(Draft::new(HS108, Severity::Error, [&problem, meaning, &fix]).at("metadata.annotations"));
    }
    found
}

/// HS108: hot-switch's annotations on an object that makes pods, which are not its pods'.
pub(crate) fn misplaced(resource: &Resource) -> Vec<Draft> {
    let annotations: Pairs<'_> = pairs(&resource.node, "metadata.annotations");
    let misplaced = annotations.into_keys().filter(|key| key.starts_with(PREFIX));
    let draft = |key: &str| {
        let problem = format!("`{key}` is on the {}, and not on its pods", resource.kind);
        let fix = "move it to `spec.template.metadata.annotations`, or to the namespace";
        let meaning = "nobody reads it there: it is as if it were not there";
        Draft::new(HS108, Severity::Error, [&problem, meaning, fix]).at("metadata.annotations")
    };
    misplaced.map(draft).collect()
}
