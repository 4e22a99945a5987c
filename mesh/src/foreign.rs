//! Recognises what people give that is neither a resource nor a plugin configuration, and says what to give instead.

use crate::yaml::node::{Node, Value};

/// The remedy for templates.
pub(super) const RENDER: &str = "render it: `helm template … | faultline validate -`";

/// The remedy for patches.
pub(super) const BUILD: &str = "render it: `kubectl kustomize DIR | faultline validate -`";

/// What a text is that is not YAML, if it is one of the usual ones: what, and the remedy.
pub(super) fn of_text(text: &str) -> Option<(&'static str, &'static str)> {
    if is_template(text) {
        return Some(("a template", RENDER));
    }
    is_table(text).then_some(TABLE)
}

const TABLE: (&str, &str) = ("kubectl's table", "add `-o yaml` to the command that wrote it");

/// What a document is that has neither `apiVersion` nor a plugin configuration's fields.
pub(super) fn of_document(node: &Node) -> Option<(&'static str, &'static str)> {
    const DUMP: &str = "give the mesh's rules: `kubectl get destinationrules,serviceentries -A -o yaml`";
    let items = node.list("");
    let first = items.first();
    let is_cluster = |item: &Node| {
        let name = item.text("name").or(item.text("cluster.name")).unwrap_or_default();
        ["outbound|", "inbound|", "outbound_."].iter().any(|start| name.starts_with(start))
            || item.field("edsClusterConfig").is_some()
            || item.text("@type").is_some_and(|kind| kind.contains("envoy."))
    };
    if first.is_some_and(|item| item.field("op").is_some() && item.field("path").is_some()) {
        return Some(("a patch of kustomize", BUILD));
    }
    if items.iter().any(is_cluster) {
        return Some(("what istioctl tells of a proxy", DUMP));
    }
    if first.is_some_and(|item| item.text("apiVersion").is_some() && item.text("kind").is_some()) {
        return Some((
            "a list of resources without `kind: List` around it",
            "give what `kubectl get … -o yaml` prints, without `jq .items`",
        ));
    }
    if node.field("MANIFEST").is_some() || node.field("LAST DEPLOYED").is_some() {
        return Some((
            "what helm says of a release",
            "give the resources: `helm get manifest RELEASE | faultline validate -`, or `helm template …`",
        ));
    }
    let is_watched = || node.at("object.apiVersion").is_some() || node.at("object.kind").is_some();
    if node.text("type").is_some_and(|kind| ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"].contains(&kind))
        && is_watched()
    {
        return Some(("an event of a watch", "give the resources: `kubectl get … -o yaml`, without `--watch`"));
    }
    let of_envoy =
        ["configs", "cluster_statuses", "listener_statuses", "version_info", "bootstrap", "command_line_options"];
    let of_dump = |name: &str| name.starts_with("static_") || name.starts_with("dynamic_");
    let is_dump = of_envoy.iter().any(|name| node.field(name).is_some())
        || node.map("").iter().any(|(name, _)| of_dump(name))
        || node.text("@type").is_some_and(|kind| kind.contains("envoy."));
    if is_dump {
        return Some(("a dump of Envoy", DUMP));
    }
    if node.field("resources").is_some() && node.field("items").is_none() && is_kustomization(node) {
        return Some(("a kustomization", BUILD));
    }
    match &node.value {
        Value::Scalar(serde_json::Value::String(text)) if is_table(text) => Some(TABLE),
        _ => half_named(node),
    }
}

/// A resource that does not say, or not wholly, what it is.
fn half_named(node: &Node) -> Option<(&'static str, &'static str)> {
    let has_object = |name: &str| node.field(name).is_some_and(|field| matches!(field.value, Value::Map(_)));
    match (node.text("apiVersion").is_some(), node.text("kind").is_some()) {
        (false, true) if has_object("metadata") || has_object("spec") => Some((
            "a resource without `apiVersion`",
            "write it, such as `apiVersion: networking.istio.io/v1`; without it kubectl refuses the resource",
        )),
        (true, false) if has_object("metadata") || has_object("spec") => Some((
            "a resource without `kind`",
            "write it, such as `kind: DestinationRule`; without it kubectl refuses the resource",
        )),
        (false, false) if has_object("metadata") && has_object("spec") => Some((
            "a resource without `apiVersion` and `kind`",
            "write both; without them kubectl refuses the resource",
        )),
        _ => None,
    }
}

/// What a document in YAML is that nothing is known of.
pub(super) fn of_anything(node: &Node) -> (&'static str, &'static str) {
    match &node.value {
        Value::Scalar(serde_json::Value::String(text)) if text.starts_with("No resources found") => {
            ("kubectl's word that there is nothing", "ask for another namespace, or for all of them with `-A`")
        }
        Value::Scalar(_) => ("text", "name a file with resources, or a plugin configuration in JSON"),
        _ => (
            "neither a resource nor a plugin configuration",
            "resources have `apiVersion` and `kind`, a plugin configuration is JSON; of a chart's values, render the \
                chart: `helm template … | faultline validate -`",
        ),
    }
}

/// Whether a document is kustomize's own, with or without `kind`.
fn is_kustomization(node: &Node) -> bool {
    ["patches", "patchesStrategicMerge", "patchesJson6902", "namePrefix", "commonLabels", "namespace"]
        .iter()
        .any(|name| node.field(name).is_some())
}

/// Whether a resource's fields hold unrendered template actions.
pub(super) fn is_unrendered(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(serde_json::Value::String(text)) => is_template(text),
        Value::Scalar(_) => false,
        Value::List(items) => items.iter().any(is_unrendered),
        Value::Map(fields) => fields.iter().any(|(key, field)| is_template(key) || is_unrendered(field)),
    }
}

fn is_template(text: &str) -> bool {
    text.find("{{").is_some_and(|start| text.get(start..).is_some_and(|rest| rest.contains("}}")))
}

/// Whether a text is what kubectl prints without `-o`.
fn is_table(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let is_heading = |word: &str| word.chars().all(|c| c.is_ascii_uppercase() || "-()".contains(c)) && word.len() > 1;
    matches!(words.next(), Some("NAME" | "NAMESPACE")) && words.next().is_some_and(is_heading)
}
