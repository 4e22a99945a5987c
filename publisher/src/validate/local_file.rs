//! The rule for an EnvoyFilter that loads the plugin from a file (FL310).
//!
//! What Istio's agent pulls can fail without harm; a file that is not there cannot: Envoy refuses every listener that
//! names it. A running proxy keeps its old listeners, and a new pod has none, answers 503 at its readiness probe and
//! never gets ready.

use serde_json::Value;

use super::carrier::PLUGIN;
use super::finding::{Draft, Severity};
use super::rules;
use mesh::yaml::node::{self, Node};
use mesh::{Mesh, Resource};

/// Kinds whose pods may have a sidecar.
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// The annotation by which a sidecar gets a volume.
const MOUNTS: &str = "sidecar.istio.io/userVolumeMount";

/// What is wrong, or to be known, about one EnvoyFilter of ours.
pub(super) fn check(filter: &Resource, mesh: &Mesh) -> Option<Draft> {
    let file = file_of(&filter.node)?;
    let labels = filter.node.map("spec.workloadSelector.labels");
    let refused = "a proxy without the file refuses its listeners: running pods keep their old ones, and a new pod \
        never gets ready (503)";
    let draft = |severity, path: &str, problem: String, fix: &str| {
        Some(Draft::new(rules::FL310, severity, path.to_owned(), [problem.as_str(), refused, fix]))
    };
    if labels.is_empty() && filter.node.list("spec.targetRefs").is_empty() {
        let problem = format!("loads `{file}` in every proxy, as nothing is selected");
        return draft(Severity::Error, "spec", problem, "select the workloads that have the file: `workloadSelector`");
    }
    if labels.is_empty() {
        return None; // a gateway's own Deployment is rarely among the files
    }
    let selected: Vec<&Resource> = mesh.resources.iter().filter(|it| is_selected(it, filter)).collect();
    match selected.iter().find(|workload| !has_file(workload, &file)) {
        Some(workload) => {
            let problem = format!("loads `{file}`, and {} has no volume there", workload.title());
            let fix = "mount the module into istio-proxy first, as the comments of `faultline manifest` show";
            draft(Severity::Error, "spec.workloadSelector", problem, fix)
        }
        None if selected.is_empty() => {
            let problem = format!("loads `{file}`; the selected workloads are not among these files");
            let fix = "see that each of them mounts the module into istio-proxy before this is applied";
            draft(Severity::Note, "spec.workloadSelector", problem, fix)
        }
        None => None,
    }
}

/// The file from which a plugin of ours is loaded, anywhere in a node.
fn file_of(node: &Node) -> Option<String> {
    match &node.value {
        node::Value::Scalar(_) => None,
        node::Value::List(items) => items.iter().find_map(file_of),
        node::Value::Map(fields) => {
            let either = |snake: &str, camel: &str| node.text(snake).or(node.text(camel)).map(str::to_owned);
            if either("root_id", "rootId").as_deref() == Some(PLUGIN) {
                return either("vm_config.code.local.filename", "vmConfig.code.local.filename");
            }
            fields.iter().find_map(|(_, field)| file_of(field))
        }
    }
}

/// Whether the filter selects the pods of a workload. A filter of the root namespace may select any; only those of its
/// own are looked at.
fn is_selected(workload: &Resource, filter: &Resource) -> bool {
    let labels = workload.node.at("spec.template.metadata.labels");
    let has = |(key, value): &(String, Node)| labels.and_then(|l| l.field(key)).map(Node::json) == Some(value.json());
    WORKLOADS.contains(&workload.kind.as_str())
        && workload.namespace() == filter.namespace()
        && filter.node.map("spec.workloadSelector.labels").iter().all(has)
}

/// Whether something is mounted into the proxy's container where the file should be.
fn has_file(workload: &Resource, file: &str) -> bool {
    let holds = |path: &str| file.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
    let annotation = workload.node.at("spec.template.metadata.annotations").and_then(|all| all.field(MOUNTS));
    let annotated: Value = annotation
        .and_then(|text| text.json().as_str().and_then(|text| serde_json::from_str(text).ok()))
        .unwrap_or_default();
    let by_annotation = match &annotated {
        Value::Object(mounts) => mounts.values().filter_map(|mount| mount["mountPath"].as_str()).any(holds),
        Value::Array(mounts) => mounts.iter().filter_map(|mount| mount["mountPath"].as_str()).any(holds),
        _ => false,
    };
    let lists = ["spec.template.spec.containers", "spec.template.spec.initContainers"];
    let containers = lists.iter().flat_map(|list| workload.node.list(list));
    let proxy = containers.filter(|container| container.text("name") == Some("istio-proxy"));
    by_annotation || proxy.flat_map(|c| c.list("volumeMounts")).any(|m| m.text("mountPath").is_some_and(holds))
}
