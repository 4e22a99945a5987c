//! Where a MeshConfig is found, alone or inside another resource, and how istiod takes what is written in it.
//!
//! No API server looks at it: istiod reads it as protobuf's JSON, in which names may have underscores and numbers
//! quotes.

use serde_json::Value as Json;

use crate::schema::{OF_MESH, Type, field_of};
use crate::yaml;
use crate::yaml::node::{Node, Value};

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

/// The MeshConfig inside a resource: in istiod's ConfigMap, an IstioOperator, or the operator's Istio; `None`: there is
/// none.
///
/// # Errors
/// What is wrong with the text in which it should be.
pub(crate) fn inside(kind: &str, node: &Node) -> Result<Option<Node>, String> {
    Ok(match kind {
        "ConfigMap" => {
            let (Some(field), Some(text)) = (node.at("data.mesh"), node.text("data.mesh")) else { return Ok(None) };
            // A one-line string, as in JSON, cannot start on the line below its name.
            let is_block = text.contains('\n') && !is_json(node);
            let read = yaml::read(text).map_err(|(_, problem)| problem).and_then(|documents| {
                let inner = documents.into_iter().next().map(|inner| inner.inside(field.position, is_block));
                let is_map = |inner: &Node| matches!(inner.value, Value::Map(_));
                if inner.as_ref().is_none_or(is_map) { Ok(inner) } else { Err("it has no fields".to_owned()) }
            });
            // Others may keep something of that name in their own.
            let is_istiod =
                node.text("metadata.name").is_some_and(|name| name == "istio" || name.starts_with("istio-"));
            if is_istiod { read? } else { read.unwrap_or_default() }
        }
        "IstioOperator" => node.at("spec.meshConfig").or_else(|| node.at("spec.values.meshConfig")).cloned(),
        "Istio" | "IstioRevision" => node.at("spec.values.meshConfig").cloned(),
        _ => None,
    })
}

/// A MeshConfig as istiod takes it: names and numbers as the rest of faultline reads them.
pub(crate) fn as_istiod(mut config: Node) -> Node {
    rename(&mut config);
    for (path, object) in OF_MESH {
        let mut block = Some(&mut config);
        for step in path.split('.') {
            block = block.and_then(|node| field_mut(node, step));
            if let Some(node) = &mut block {
                rename(node);
            }
        }
        if let Some(block) = block {
            plain(block, Type::Object(object));
        }
    }
    config
}

fn field_mut<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    let Value::Map(fields) = &mut node.value else { return None };
    fields.iter_mut().find(|(key, _)| key == name).map(|(_, node)| node)
}

/// Writes the names of an object's fields as JSON has them: `base_ejection_time` is `baseEjectionTime`.
fn rename(node: &mut Node) {
    let Value::Map(fields) = &mut node.value else { return };
    for (name, _) in fields.iter_mut().filter(|(name, _)| name.contains('_')) {
        let mut parts = name.split('_');
        let first = parts.next().unwrap_or_default().to_owned();
        *name = parts.fold(first, |all, part| {
            let (head, rest) = part.split_at_checked(1).unwrap_or((part, ""));
            all + &head.to_ascii_uppercase() + rest
        });
    }
}

/// Takes the quotes off numbers, and the underscores out of names, in what the schema knows.
fn plain(node: &mut Node, kind: Type) {
    match (kind, &mut node.value) {
        (Type::Object(object), Value::Map(_)) => {
            rename(node);
            let Value::Map(fields) = &mut node.value else { return };
            for (name, value) in fields {
                if let Some(kind) = field_of(object, name) {
                    plain(value, kind);
                }
            }
        }
        (Type::List(inner), Value::List(items)) => items.iter_mut().for_each(|item| plain(item, *inner)),
        (Type::Map(inner), Value::Map(fields)) => fields.iter_mut().for_each(|(_, value)| plain(value, *inner)),
        (Type::Integer(..), Value::Scalar(scalar)) => {
            let number = scalar.as_str().and_then(|text| text.parse::<i64>().ok());
            if let Some(number) = number {
                *scalar = Json::from(number);
            }
        }
        _ => {}
    }
}

/// Whether a resource was written as JSON: its first field then follows a bracket on the same line, or is indented.
fn is_json(node: &Node) -> bool {
    node.at("kind").is_some_and(|kind| kind.position.column != Some(node.position.column.unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_protobuf() {
        let text = "root_namespace: mesh\nlocality_lb_setting: {distribute: [{from: a, to: {b_c: '100'}}]}\n\
                    default_traffic_policy: {outlier_detection: {consecutive_5xx_errors: '3', interval: 5s}}\n";
        let config = as_istiod(yaml::read(text).unwrap().remove(0));
        assert_eq!(config.text("rootNamespace"), Some("mesh"));
        assert_eq!(config.number("localityLbSetting.distribute[0].to.b_c"), Some(100));
        let block = config.at("defaultTrafficPolicy.outlierDetection").unwrap();
        assert_eq!((block.number("consecutive5xxErrors"), block.text("interval")), (Some(3), Some("5s")));
    }
}
