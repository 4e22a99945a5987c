//! Checks that what the Helm chart carries is what the workspace has elsewhere.
//!
//! Helm packages only what lies in the chart's own folder, so alerts, dashboards and the collector's files are copied
//! there. A link would be
//! lost where the folder is taken out of the repository, as Argo CD and Flux do.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::finding::Finding;
use crate::workspace::Workspace;

const CHARTS: [&str; 2] = ["deploy/helm/faultline/Chart.yaml", "deploy/helm/faultline/charts/hot-switch/Chart.yaml"];

/// The manifests of hot-switch that its chart has copies of.
const HOT_SWITCH: [&str; 5] = ["namespace.yaml", "accounts.yaml", "agent.yaml", "controller.yaml", "admission.yaml"];

/// Each copy in the chart, and what it is a copy of.
const COPIES: [(&str, &str); 7] = [
    ("deploy/helm/faultline/files/faultline.rules.yaml", "deploy/prometheus/faultline.rules.yaml"),
    ("deploy/helm/faultline/files/faultline.json", "deploy/grafana/faultline.json"),
    ("deploy/helm/faultline/files/faultline-logs.json", "deploy/victorialogs/faultline-logs.json"),
    ("deploy/helm/faultline/files/faultline-loki.json", "deploy/loki/faultline-loki.json"),
    ("deploy/helm/faultline/files/otel-agent.yaml", "deploy/otel/agent.yaml"),
    ("deploy/helm/faultline/files/otel-victorialogs.yaml", "deploy/otel/victorialogs.yaml"),
    ("deploy/helm/faultline/files/otel-loki.yaml", "deploy/otel/loki.yaml"),
];

/// The chart's copies equal their originals, and its `appVersion` is the workspace's version, which names the image.
pub(crate) fn copies(workspace: &Workspace) -> Result<Vec<Finding>> {
    let read =
        |file: &str| fs::read_to_string(workspace.root.join(file)).with_context(|| format!("{file} cannot be read"));
    let mut findings = Vec::new();
    let of_hot_switch = HOT_SWITCH.iter().map(|file| {
        (format!("deploy/helm/faultline/charts/hot-switch/files/{file}"), format!("deploy/hot-switch/{file}"))
    });
    let others = COPIES.iter().map(|(copy, original)| ((*copy).to_owned(), (*original).to_owned()));
    for (copy, original) in others.chain(of_hot_switch) {
        if read(&copy)? != read(&original)? {
            let what = format!("differs from {original}: write it anew with `cp {original} {copy}`");
            findings.push(Finding::in_file(Path::new(&copy), what));
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    for file in CHARTS {
        let chart = read(file)?;
        for (key, expected) in [("version", version.to_owned()), ("appVersion", format!("\"{version}\""))] {
            if value(&chart, key) != Some(expected.as_str()) {
                findings.push(Finding::in_file(Path::new(file), format!("`{key}` is not {expected}: correct it")));
            }
        }
    }
    Ok(findings)
}

/// The value of a key at the margin of a text in YAML.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_at_the_margin_only() {
        let text = "apiVersion: v2\nx:\n  version: 1\nversion: 0.1.0\nappVersion: \"0.1.0\"\n";
        assert_eq!(value(text, "version"), Some("0.1.0"));
        assert_eq!(value(text, "appVersion"), Some("\"0.1.0\""));
        assert_eq!(value(text, "nothing"), None);
    }
}
