//! Checks that alerts and the dashboard name only metrics that the code has, and that each alert has its page.
//!
//! A query for a metric or a label that does not exist is valid but returns nothing: an alert that never fires, a panel
//! that is always empty. Queries are recognised by their words, anywhere in a file, so nothing here needs to know
//! PromQL's grammar, YAML or Grafana. What a query does with a label (`label_replace`) is left to the tests that run
//! it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use filter_core::metric::Metric;

use super::deploy::texts;
use super::finding::Finding;
use crate::workspace::Workspace;

const PROMETHEUS: &str = "deploy/prometheus";
const GRAFANA: &str = "deploy/grafana";
const RULES: &str = "deploy/prometheus/faultline.rules.yaml";
const OPERATORS_RULES: &str = "deploy/prometheus/prometheusrule.yaml";
const RUNBOOKS: &str = "docs/runbooks";

/// Labels that Prometheus adds to every series of a target, the external one that names the Kubernetes cluster, and the
/// two with which Envoy names a cluster.
const OF_OTHERS: [&str; 7] = ["job", "instance", "namespace", "pod", "cluster", "envoy_cluster_name", "cluster_name"];

/// What begins the names of hot-switch's metrics, which its own tests look after (`hot-switch/tests/manifests.rs`).
const OF_HOT_SWITCH: &str = "faultline_hotswitch_";
/// The labels of those.
const LABELS_OF_HOT_SWITCH: [&str; 4] = ["state", "direction", "reason", "le"];

/// Every metric and label in `deploy/prometheus` and `deploy/grafana` is one of the code, or of the recording rules
/// there.
pub(crate) fn names(workspace: &Workspace) -> Result<Vec<Finding>> {
    let recorded = values_of(&read(workspace, RULES)?, "record:");
    let mut findings = Vec::new();
    for folder in [PROMETHEUS, GRAFANA] {
        let texts = texts(workspace, folder)?;
        if texts.is_empty() {
            findings.push(Finding::in_file(
                Path::new(folder),
                "nothing there: alerts and a dashboard belong to the metrics",
            ));
        }
        for (file, text) in texts {
            let made = made_labels(&text);
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
                let wrong = unknown(line, &recorded, &made).into_iter();
                findings.extend(wrong.map(|what| Finding::at(&file, index + 1, what)));
            }
        }
    }
    Ok(findings)
}

/// The Prometheus operator's rules are the plain rules, indented.
pub(crate) fn operators_rules(workspace: &Workspace) -> Result<Vec<Finding>> {
    let (plain, operators) = (read(workspace, RULES)?, read(workspace, OPERATORS_RULES)?);
    let plain = plain.lines().skip_while(|line| *line != "groups:");
    let operators = operators.lines().skip_while(|line| *line != "spec:").skip(1);
    let same = operators.map(|line| line.strip_prefix("  ").unwrap_or(line)).eq(plain);
    let what = format!(
        "its rules are not those of {RULES}: write them anew with `(sed '/^spec:/q' {OPERATORS_RULES}; \
         sed -n '/^groups:/,$p' {RULES} | sed 's/^./  &/') > new.yaml && mv new.yaml {OPERATORS_RULES}`"
    );
    Ok(if same { Vec::new() } else { vec![Finding::in_file(Path::new(OPERATORS_RULES), what)] })
}

/// Each alert has a page of its name, links to it and is listed in the pages' README; each page has an alert.
pub(crate) fn runbooks(workspace: &Workspace) -> Result<Vec<Finding>> {
    let rules = read(workspace, RULES)?;
    let (alerts, links) = (values_of(&rules, "alert:"), values_of(&rules, "runbook_url:"));
    let index = read(workspace, &format!("{RUNBOOKS}/README.md"))?;
    let mut findings = Vec::new();
    for alert in &alerts {
        let page = format!("{RUNBOOKS}/{alert}.md");
        if !workspace.root.join(&page).is_file() {
            findings.push(Finding::in_file(Path::new(&page), format!("the alert {alert} has no page: write it")));
        }
        if !links.iter().any(|link| link.ends_with(&page)) {
            findings.push(Finding::in_file(Path::new(RULES), format!("{alert}: no runbook_url leads to {page}")));
        }
        if !index.contains(&format!("]({alert}.md)")) {
            let what = format!("{alert} is not listed: add a link to {alert}.md");
            findings.push(Finding::in_file(Path::new(&format!("{RUNBOOKS}/README.md")), what));
        }
    }
    let folder = workspace.root.join(RUNBOOKS);
    for entry in fs::read_dir(&folder).with_context(|| format!("{RUNBOOKS} cannot be read"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".md").is_some_and(|name| name != "README" && !alerts.contains(name)) {
            let file = Path::new(RUNBOOKS).join(&name);
            findings.push(Finding::in_file(&file, "no alert has this name: remove the page"));
        }
    }
    Ok(findings)
}

fn read(workspace: &Workspace, file: &str) -> Result<String> {
    fs::read_to_string(workspace.root.join(file)).with_context(|| format!("{file} cannot be read"))
}

/// The values of a YAML key on all lines that begin with it.
fn values_of(text: &str, key: &str) -> BTreeSet<String> {
    let values = text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
    values.map(|value| value.trim().to_owned()).collect()
}

/// The labels that the queries of a text create: each comes before the value that it is made from, `"label", "$1"`.
fn made_labels(text: &str) -> BTreeSet<&str> {
    text.split("\", \"$1\"").filter_map(|before| Some(before.rsplit_once('"')?.1)).collect()
}

/// What is wrong with the metrics and labels in a line.
fn unknown(line: &str, recorded: &BTreeSet<String>, made: &BTreeSet<&str>) -> Vec<String> {
    // The quotes are escaped in JSON, and in a query within a template.
    let line = line.replace("\\\"", "\"");
    let all = Metric::ALL.iter().flat_map(|metric| metric.labels()).chain(&OF_OTHERS);
    let all = all.chain(&LABELS_OF_HOT_SWITCH).chain(made);
    let all: BTreeSet<&str> = all.copied().collect();
    let mut wrong = Vec::new();
    let mut check = |owner: &str, labels: Vec<&str>, has: &dyn Fn(&str) -> bool| {
        let strange = labels.into_iter().filter(|label| !has(label));
        wrong.extend(strange.map(|label| format!("{owner} has no label `{label}`: queries with it find nothing")));
    };
    let mut missing = Vec::new();
    for (at, word) in words(&line) {
        let after = &line[at + word.len()..];
        let in_braces = || after.strip_prefix('{').map(matched_labels).unwrap_or_default();
        if word.starts_with(OF_HOT_SWITCH) {
            continue;
        }
        if word.starts_with("faultline_") {
            match Metric::ALL.iter().find(|metric| metric.name() == word) {
                Some(metric) => check(word, in_braces(), &|l| metric.labels().contains(&l) || OF_OTHERS.contains(&l)),
                None => missing.push(format!("`{word}` is no metric of the code")),
            }
        } else if word.starts_with("proxy:") || word.starts_with("service:") {
            if recorded.contains(word) {
                check(word, in_braces(), &|l| all.contains(l));
            } else {
                missing.push(format!("`{word}` is not recorded by {RULES}"));
            }
        } else if matches!(word, "by" | "without" | "on" | "ignoring" | "group_left" | "group_right") {
            let list = after.trim_start().strip_prefix('(').and_then(|list| list.split_once(')'));
            let labels = list.map(|(list, _)| list.split(',').map(str::trim).filter(|l| !l.is_empty()).collect());
            check("the contract", labels.unwrap_or_default(), &|l| all.contains(l));
        } else if word == "label_values" {
            let label = after.split_once(')').and_then(|(arguments, _)| Some(arguments.rsplit_once(',')?.1.trim()));
            check("the contract", label.into_iter().collect(), &|l| all.contains(l));
        }
        // `{{label}}` in a legend, `$labels.label` and `.Labels.label` in a template.
        let before = &line[..at];
        let legend = before.ends_with("{{") && after.starts_with("}}");
        if legend || before.ends_with("$labels.") || before.ends_with(".Labels.") {
            check("the contract", vec![word], &|l| all.contains(l));
        }
    }
    wrong.extend(missing);
    wrong
}

/// The words of a line that could be names of metrics or labels, and where they start.
fn words(line: &str) -> Vec<(usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_part) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        words.push((line.len() - rest.len(), rest[..end].trim_end_matches(':')));
        rest = &rest[end..];
    }
    words
}

/// The labels of a selector, from after its opening brace.
fn matched_labels(selector: &str) -> Vec<&str> {
    let mut labels = Vec::new();
    // Outside quotes is a label and then its operator; inside can be anything.
    for (index, piece) in selector.split('"').enumerate().filter(|(index, _)| index % 2 == 0) {
        let (piece, last) = piece.split_once('}').map_or((piece, false), |(piece, _)| (piece, true));
        let pairs = piece.trim_start_matches(if index > 0 { "," } else { "" }).split(',');
        labels.extend(pairs.filter_map(|pair| Some(pair[..pair.find(['=', '!'])?].trim())));
        if last {
            break;
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(line: &str) -> Vec<String> {
        let recorded = BTreeSet::from(["proxy:faultline_ejections:new30m".to_owned()]);
        unknown(line, &recorded, &made_labels(line))
    }

    #[test]
    fn what_exists_is_no_finding() {
        for line in [
            r#"sum by (upstream_cluster, instance) (faultline_attempts_total{outcome!~"a,b}",upstream_locality="x"}[1m]) > 0"#,
            r#""expr": "faultline_ejected_endpoints{upstream_cluster=~\"$cluster\"}", "legendFormat": "{{upstream_cluster}}""#,
            r#"query (printf "proxy:faultline_ejections:new30m{upstream_cluster=%q}" $labels.upstream_cluster) .Labels.pod"#,
            r#"label_values(faultline_attempts_total{upstream_cluster="x"}, upstream_locality)"#,
            r#"sum by (zone) (label_replace(up, "zone", "$1", "failover_to", "(.*)"))"#,
            "envoy_cluster_upstream_rq_total{response_code=\"200\"} service: 'x'",
        ] {
            assert_eq!(wrong(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn what_does_not_exist_is_found_wherever_it_stands() {
        for (line, name) in [
            ("rate(faultline_attempt_total[1m])", "faultline_attempt_total"),
            (r#"faultline_attempts_total{outcome="x",reason="y"}"#, "reason"),
            (r#"\"faultline_ejected_endpoints{outcome=\"x\"}\""#, "outcome"),
            ("max by (zone) (up)", "zone"),
            ("a * on (job) group_left (zone) b", "zone"),
            ("proxy:faultline_ejections:new5m > 0", "proxy:faultline_ejections:new5m"),
            ("\"legendFormat\": \"{{locality}}\"", "locality"),
            ("summary: '{{ $labels.from }}'", "from"),
            ("label_values(faultline_attempts_total, locality)", "locality"),
        ] {
            let wrong = wrong(line);
            assert!(wrong.len() == 1 && wrong[0].contains(&format!("`{name}`")), "{line}: {wrong:?}");
        }
    }
}
