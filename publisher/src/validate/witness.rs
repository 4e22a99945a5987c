//! The rule for a witness that is no cluster (FL312), in Istio: its proxies have one that leads to Envoy's admin
//! interface, and only of its name. Of a bootstrap, `bootstrap` tells.

use filter_core::config;

use super::carrier;
use super::finding::{Draft, Finding, Severity};
use super::rules;
use mesh::yaml::node::{Node, Value};
use mesh::{Mesh, Resource};

/// The cluster that istio-agent writes into every proxy's bootstrap.
const OF_ISTIO: &str = "prometheus_stats";

/// Every plugin of Istio among the files whose witness no proxy is known to have.
pub(super) fn check(mesh: &Mesh) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_of_istio = |resource: &&Resource| resource.group.ends_with("istio.io");
    for resource in mesh.resources.iter().filter(is_of_istio) {
        for (path, text) in carrier::configurations(resource) {
            let witness = config::parse(text.as_bytes()).ok().and_then(|parsed| parsed.config.witness);
            // A service's cluster may lead anywhere.
            let odd = witness.filter(|it| it.cluster != OF_ISTIO && !it.cluster.contains('|'));
            let unknown = odd.filter(|it| !is_added(mesh, &it.cluster));
            found.extend(unknown.map(|it| draft(&it.cluster).inside(&path).in_resource(resource)));
        }
    }
    found
}

fn draft(cluster: &str) -> Draft {
    let problem = format!("no proxy of Istio has a cluster `{cluster}`, unless a bootstrap of your own does");
    let at_run_time = "Envoy cannot be asked (`faultline_witness_polls_total`, result `no_cluster`): ejections are \
        inferred, by the thresholds written here or Envoy's defaults, and those that retries hide are not seen";
    let fix = "leave `cluster` off: `\"witness\": {}` asks through `prometheus_stats`, which every proxy of Istio has";
    Draft::new(rules::FL312, Severity::Warning, "witness.cluster".into(), [&problem, at_run_time, fix])
}

/// Whether an EnvoyFilter adds a cluster of this name.
fn is_added(mesh: &Mesh, cluster: &str) -> bool {
    let patches = mesh.resources.iter().filter(|it| it.is_istio("EnvoyFilter"));
    let mut patches = patches.flat_map(|filter| filter.node.list("spec.configPatches"));
    patches
        .any(|patch| patch.field("patch").and_then(|patch| patch.field("value")).is_some_and(|it| names(it, cluster)))
}

fn names(node: &Node, cluster: &str) -> bool {
    match &node.value {
        Value::Scalar(_) => false,
        Value::List(items) => items.iter().any(|item| names(item, cluster)),
        Value::Map(fields) => {
            node.text("name") == Some(cluster) || fields.iter().any(|(_, field)| names(field, cluster))
        }
    }
}
