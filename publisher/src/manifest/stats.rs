//! Rules that turn parts of a statistic's name into Prometheus labels.
//!
//! Istio makes such rules from `extraStatTags`, which exists only in a proxy's bootstrap. No resource of Istio's API
//! sets it (`ProxyConfig` has no such field), so it is an annotation on pods or part of the mesh configuration. Neither
//! is a document to apply beside the plugin, so this file writes a command and a snippet, in comments.

use std::collections::BTreeSet;

use filter_core::metric::Metric;
use serde_json::{Value, json};

use super::plan::{Plan, Target};
use mesh::yaml;

/// Envoy's own counters of the outlier detector, which Istio's proxies drop by default.
const EJECTIONS: &str = ".*outlier_detection.*";

/// All labels of all metrics, in the order in which the metrics carry them.
pub(crate) fn labels() -> Vec<&'static str> {
    let mut seen = BTreeSet::new();
    Metric::ALL.iter().flat_map(|metric| metric.labels()).copied().filter(|label| seen.insert(*label)).collect()
}

/// Envoy's `stats_tags`, one for each label, the same that Istio generates.
pub(crate) fn rules() -> Value {
    labels()
        .iter()
        .map(|label| json!({"regex": format!(r"({label}=\.=(.*?);\.;)"), "tag_name": label}))
        .collect::<Vec<_>>()
        .into()
}

/// For Istio: how to set the labels, as lines without comment signs.
pub(crate) fn for_istio(plan: &Plan) -> Vec<String> {
    let annotations = json!({
        "sidecar.istio.io/extraStatTags": labels().join(","),
        "sidecar.istio.io/statsInclusionRegexps": EJECTIONS,
    });
    let namespace = plan.namespace.as_deref().map(|name| format!(" -n {name}")).unwrap_or_default();
    let mut lines = vec![
        String::new(),
        "Metrics: a proxy makes labels of them, and shows Envoy's own counters of ejections, if it was started so. For"
            .into(),
        "one workload, which this restarts (pods that have these annotations already: add to them):".into(),
    ];
    lines.push(match &plan.target {
        Target::Workloads(_) => {
            let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
            format!("  kubectl{namespace} patch deployment NAME --patch '{patch}'")
        }
        // For Kubernetes Gateways, including waypoints: Istio copies these annotations to the pods that it creates.
        Target::Resources(refs) => {
            let gateway = refs.iter().find(|target| target.kind == "Gateway").map_or("NAME", |target| &target.name);
            let patch = json!({"spec": {"infrastructure": {"annotations": annotations}}});
            format!(
                "  kubectl{namespace} patch gateway.gateway.networking.k8s.io {gateway} --type merge --patch '{patch}'"
            )
        }
    });
    lines.push(
        "Or for the mesh, in istiod's Helm values (or an IstioOperator's spec); proxies take it when they start:"
            .into(),
    );
    let mesh = json!({"meshConfig": {"defaultConfig": {
        "extraStatTags": labels(),
        "proxyStatsMatcher": {"inclusionRegexps": [EJECTIONS]},
    }}});
    let yaml = yaml::write(&mesh).unwrap_or_default();
    lines.extend(yaml.trim_end().lines().map(|line| format!("  {line}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_of_every_metric_has_one_rule() {
        let labels = labels();
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len());
        for label in Metric::ALL.iter().flat_map(|metric| metric.labels()) {
            assert!(labels.contains(label), "{label}");
        }
        assert_eq!(rules().as_array().map(Vec::len), Some(labels.len()));
    }
}
