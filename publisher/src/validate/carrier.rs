//! Rules for resources that carry a plugin (FL301 to FL306, and FL308), and the configurations inside them.
//!
//! The rules about images apply to any plugin. How a plugin fails and its configuration are checked only for faultline.

use super::finding::{Draft, Severity};
use super::{image, plugin, rules};
use mesh::yaml::node::{Node, Value};
use mesh::{ENVOY, Mesh, Resource};

/// The plugin's root id. It is also part of the image's name unless somebody renamed the image.
pub(super) const PLUGIN: &str = "faultline";

/// Every finding about one resource; empty if it carries no plugin.
pub(crate) fn check(resource: &Resource, mesh: &Mesh) -> Vec<Draft> {
    let spec = |path: &'static str| resource.node.at(path).map(|node| (path, node));
    let mut found = Vec::new();
    match (resource.kind.as_str(), resource.group.as_str()) {
        ("WasmPlugin", "extensions.istio.io") => {
            found.extend(spec("spec").into_iter().flat_map(|(path, code)| istio(resource, path, code, mesh)));
        }
        ("TrafficExtension", "extensions.istio.io") => {
            found.extend(spec("spec.wasm").into_iter().flat_map(|(path, code)| istio(resource, path, code, mesh)));
        }
        ("WasmPlugin", "extensions.higress.io") => {
            if let Some((path, code)) = spec("spec").filter(|(_, code)| is_ours(resource, code)) {
                found.extend(image::digest_beside_tag(code, path));
                found.extend(fails_closed(code, path));
                found.extend(config(code, path, "defaultConfig"));
            }
        }
        ("EnvoyExtensionPolicy", _) => {
            for (index, code) in resource.node.list("spec.wasm").iter().enumerate() {
                if is_ours_at_gateway(code) {
                    let path = format!("spec.wasm[{index}]");
                    if code.flag("failOpen") != Some(true) {
                        found.push(closed(&format!("{path}.failOpen"), "is not true", "failOpen: true"));
                    }
                    found.extend(config(code, &path, "config"));
                }
            }
        }
        ("EnvoyFilter", _) | (ENVOY, _) => envoy(&resource.node, "", &mut found),
        _ => {}
    }
    found
}

/// Checks a WasmPlugin or TrafficExtension; `code` is the node that holds the image.
fn istio(resource: &Resource, path: &str, code: &Node, mesh: &Mesh) -> Vec<Draft> {
    let mut found = image::check(code, path);
    found.extend(place(resource, mesh));
    if is_ours(resource, code) {
        found.extend(fails_closed(code, path));
        found.extend(config(code, path, "pluginConfig"));
    }
    found
}

/// Whether a WasmPlugin or TrafficExtension carries faultline; `code` is the node that holds the image.
pub(super) fn is_ours(resource: &Resource, code: &Node) -> bool {
    let image = code.text("url").and_then(|url| url.rsplit('/').next()).unwrap_or_default();
    code.text("pluginName") == Some(PLUGIN) || resource.name.contains(PLUGIN) || image.contains(PLUGIN)
}

/// Whether Envoy's own configuration of the plugin is anywhere in a node.
pub(super) fn has_plugin(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => false,
        Value::List(items) => items.iter().any(has_plugin),
        Value::Map(fields) => {
            node.text("root_id").or(node.text("rootId")) == Some(PLUGIN)
                || fields.iter().any(|(_, field)| has_plugin(field))
        }
    }
}

/// The configurations of the plugin that a resource of Istio or Higress carries, each with its path.
pub(super) fn configurations(resource: &Resource) -> Vec<(String, String)> {
    let (path, field) = match (resource.kind.as_str(), resource.group.as_str()) {
        ("WasmPlugin", "extensions.istio.io") => ("spec", "pluginConfig"),
        ("TrafficExtension", "extensions.istio.io") => ("spec.wasm", "pluginConfig"),
        ("WasmPlugin", "extensions.higress.io") => ("spec", "defaultConfig"),
        ("EnvoyFilter", "networking.istio.io") => {
            let mut found = Vec::new();
            of_envoy(&resource.node, "", &mut |_, path, text| found.extend(text.map(|text| (path, text))));
            return found;
        }
        _ => return Vec::new(),
    };
    let code = resource.node.at(path).filter(|code| is_ours(resource, code));
    let text = |code: &Node| code.field(field).map(|node| node.json().to_string()).unwrap_or_default();
    code.map(|code| (format!("{path}.{field}"), text(code))).into_iter().collect()
}

/// The configurations for Envoy Gateway, each with its path.
pub(super) fn configurations_of_gateway(policy: &Resource) -> Vec<(String, String)> {
    let ours = policy.node.list("spec.wasm").iter().enumerate().filter(|(_, code)| is_ours_at_gateway(code));
    let text = |code: &Node| code.field("config").map(|node| node.json().to_string()).unwrap_or_default();
    ours.map(|(index, code)| (format!("spec.wasm[{index}].config"), text(code))).collect()
}

/// Whether a plugin of an EnvoyExtensionPolicy is faultline.
fn is_ours_at_gateway(code: &Node) -> bool {
    code.text("rootID") == Some(PLUGIN) || code.text("name").is_some_and(|name| name.contains(PLUGIN))
}

/// The label by which Istio's pods of a Gateway can be told.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The labels of the proxies that an Istio resource selects.
pub(super) fn selected(resource: &Resource) -> Vec<(String, String)> {
    let path = if resource.kind == "EnvoyFilter" { "workloadSelector.labels" } else { "selector.matchLabels" };
    let labels = resource.node.map(&format!("spec.{path}")).iter();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.text("")?.to_owned())));
    labels.chain(gateway(&resource.node).map(|name| (GATEWAY_NAME.to_owned(), name.to_owned()))).collect()
}

/// The Gateway that a resource is attached to, if it is one alone.
fn gateway(node: &Node) -> Option<&str> {
    let single = node.at("spec.targetRef").into_iter();
    let mut gateways = single.chain(node.list("spec.targetRefs")).filter(|it| it.text("kind") == Some("Gateway"));
    let first = gateways.next()?.text("name");
    first.filter(|_| gateways.next().is_none())
}

/// Checks targets and matches: a match that a waypoint never meets (FL305), a selector with target references (FL306).
fn place(resource: &Resource, mesh: &Mesh) -> Vec<Draft> {
    let mut found = Vec::new();
    let node = &resource.node;
    let single = node.at("spec.targetRef").into_iter();
    let targets: Vec<&Node> = single.chain(node.list("spec.targetRefs")).collect();
    if node.at("spec.selector").is_some() && !targets.is_empty() {
        let words = [
            "stands together with targetRefs",
            "the API server refuses the resource",
            "keep `targetRefs` for a waypoint or gateway, `selector` for sidecars; write two resources for both",
        ];
        found.push(Draft::new(rules::FL306, Severity::Error, "spec.selector".into(), words));
    }
    let severity = targets.iter().filter_map(|target| waypoint(target, resource.namespace(), mesh)).max();
    for (index, item) in node.list("spec.match").iter().enumerate() {
        let (Some(severity), Some(field)) = (severity, never_met(item)) else { continue };
        let unsure = if severity == Severity::Error {
            ""
        } else {
            " (if it is a waypoint: the Gateway is not among these files)"
        };
        let problem = format!("the target is a waypoint{unsure}, which counts as a server, on port 0");
        let words = [
            problem.as_str(),
            "the plugin is never inserted, and nothing says so",
            "remove `match`: without it, the plugin holds for all traffic of the waypoint",
        ];
        found.push(Draft::new(rules::FL305, severity, format!("spec.match[{index}].{field}"), words));
    }
    found
}

/// The field that keeps a match from ever applying at a waypoint.
fn never_met(item: &Node) -> Option<&'static str> {
    if item.text("mode") == Some("CLIENT") { Some("mode") } else { (!item.list("ports").is_empty()).then_some("ports") }
}

/// Whether a target is a waypoint: certainly (an error), possibly (a warning), or not.
fn waypoint(target: &Node, namespace: &str, mesh: &Mesh) -> Option<Severity> {
    const CLASS: &str = "istio-waypoint";
    let name = target.text("name").unwrap_or_default();
    match target.text("kind")? {
        "Service" | "ServiceEntry" => Some(Severity::Error),
        "GatewayClass" => (name == CLASS).then_some(Severity::Error),
        "Gateway" => {
            let is_it = |r: &&Resource| {
                r.kind == "Gateway"
                    && r.group == "gateway.networking.k8s.io"
                    && (r.name.as_str(), r.namespace()) == (name, namespace)
            };
            match mesh.resources.iter().find(is_it) {
                Some(gateway) => (gateway.node.text("spec.gatewayClassName") == Some(CLASS)).then_some(Severity::Error),
                None => Some(Severity::Warning),
            }
        }
        _ => None,
    }
}

/// FL304: the plugin fails closed.
fn fails_closed(code: &Node, path: &str) -> Option<Draft> {
    let problem = match code.text("failStrategy") {
        Some("FAIL_OPEN") => return None,
        Some(other) => format!("is {other}"),
        None => "is not set, which is FAIL_CLOSE".into(),
    };
    Some(closed(&format!("{path}.failStrategy"), &problem, "failStrategy: FAIL_OPEN"))
}

fn closed(path: &str, problem: &str, write: &str) -> Draft {
    let words = [
        problem,
        "if the module cannot be fetched or fails, the proxy answers all matched requests itself: 403 in Istio, else \
            500 or 503",
        &format!("write `{write}`: a plugin that only watches must not stop traffic"),
    ];
    Draft::new(rules::FL304, Severity::Warning, path.to_owned(), words)
}

/// Checks the configuration in a field.
fn config(code: &Node, path: &str, field: &str) -> Vec<Draft> {
    let Some(node) = code.field(field) else { return plugin::check(b"") };
    let text = node.json().to_string();
    plugin::check(text.as_bytes()).into_iter().map(|draft| draft.inside(&format!("{path}.{field}"))).collect()
}

/// Checks Envoy's own configuration of the plugin, wherever it is.
fn envoy(node: &Node, path: &str, found: &mut Vec<Draft>) {
    of_envoy(node, path, &mut |plugin, field, text| {
        let either = |snake: &str, camel: &str| plugin.text(snake).or(plugin.text(camel));
        let opens = either("failure_policy", "failurePolicy") == Some("FAIL_OPEN")
            || plugin.flag("fail_open").or(plugin.flag("failOpen")) == Some(true);
        if !opens {
            let path = field.replace("configuration.value", "failure_policy");
            found.push(closed(&path, "is not FAIL_OPEN", "failure_policy: FAIL_OPEN"));
        }
        if let Some(text) = text {
            found.extend(plugin::check(text.as_bytes()).into_iter().map(|draft| draft.inside(&field)));
        }
    });
}

/// Finds Envoy's own configuration of the plugin: the map that has the root id, with the path and the text of what the
/// plugin gets.
pub(super) fn of_envoy(node: &Node, path: &str, tell: &mut impl FnMut(&Node, String, Option<String>)) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            items.iter().enumerate().for_each(|(index, item)| of_envoy(item, &format!("{path}[{index}]"), tell));
        }
        Value::Map(_) if node.text("root_id").or(node.text("rootId")) == Some(PLUGIN) => {
            let own = node.text("configuration.value").map(str::to_owned);
            let text = own.or_else(|| Some(node.at("configuration.value")?.json().to_string()));
            tell(node, join("configuration.value"), text);
        }
        Value::Map(fields) => fields.iter().for_each(|(name, field)| of_envoy(field, &join(name), tell)),
    }
}
