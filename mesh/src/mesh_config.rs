//! Where a MeshConfig is found: alone, or inside another resource.

use crate::yaml;
use crate::yaml::node::Node;

/// Fields that identify a MeshConfig outside any resource.
pub(crate) const FIELDS: [&str; 9] = [
    "defaultConfig",
    "defaultTrafficPolicy",
    "localityLbSetting",
    "rootNamespace",
    "trustDomain",
    "outboundTrafficPolicy",
    "extensionProviders",
    "defaultHttpRetryPolicy",
    "accessLogFile",
];

/// The MeshConfig inside a resource: in istiod's ConfigMap, an IstioOperator, or the operator's Istio.
pub(crate) fn inside(kind: &str, node: &Node) -> Option<Node> {
    match kind {
        "ConfigMap" => {
            let field = node.at("data.mesh")?;
            let text = node.text("data.mesh")?;
            // A one-line string, as in JSON, cannot start on the line below its name.
            let is_block = text.contains('\n') && !is_json(node);
            let inner = yaml::read(text).ok()?.into_iter().next()?;
            Some(inner.inside(field.position, is_block))
        }
        "IstioOperator" => node.at("spec.meshConfig").cloned(),
        "Istio" | "IstioRevision" => node.at("spec.values.meshConfig").cloned(),
        _ => None,
    }
}

/// Whether a resource was written as JSON: its first field then follows a bracket on the same line, or is indented.
fn is_json(node: &Node) -> bool {
    node.at("kind").is_some_and(|kind| kind.position.column != Some(node.position.column.unwrap_or(1)))
}
