//! Checks that the files that an operator applies extract the labels that the code writes.
//!
//! A label that no rule extracts stays inside the metric's name, where no query finds it. Nothing else would show that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use filter_core::metric::Metric;

use super::files::files_under;
use super::finding::Finding;
use crate::workspace::Workspace;

/// The folder of plain Envoy's bootstrap.
const ENVOY: &str = "deploy/envoy";
/// The folder of the manifests for Istio.
const ISTIO: &str = "deploy/istio";

/// Every file in `deploy/envoy` with `stats_tags` extracts every label with Istio's expression, and nothing else.
pub(crate) fn stats_tags(workspace: &Workspace) -> Result<Vec<Finding>> {
    let labels = labels();
    let mut findings = Vec::new();
    let mut files = 0;
    for (file, text) in texts(workspace, ENVOY)? {
        if !text.contains("stats_tags") {
            continue;
        }
        files += 1;
        let rules = rules(&text);
        for (label, (line, regex)) in &rules {
            // A bootstrap may have rules for other things; only those of our form are checked.
            if !labels.contains(label.as_str()) {
                if regex.contains("=\\.=") {
                    findings.push(Finding::at(&file, *line, format!("no metric has the label `{label}`: remove it")));
                }
            } else if *regex != expression(label) {
                let what = format!("`{label}` is extracted by {regex}: write {}", expression(label));
                findings.push(Finding::at(&file, *line, what));
            }
        }
        for label in labels.iter().filter(|label| !rules.contains_key(**label)) {
            let what = format!("the label `{label}` has no rule: add it with the regex {}", expression(label));
            findings.push(Finding::in_file(&file, what));
        }
    }
    if files == 0 {
        findings.push(Finding::in_file(Path::new(ENVOY), "no file with `stats_tags`: add one"));
    }
    Ok(findings)
}

/// Every list of `extraStatTags` in `deploy/istio` names every label and no others; at least one list exists.
pub(crate) fn extra_stat_tags(workspace: &Workspace) -> Result<Vec<Finding>> {
    let labels = labels();
    let mut findings = Vec::new();
    let mut lists = 0;
    for (file, text) in texts(workspace, ISTIO)? {
        for (line, tags) in tag_lists(&text) {
            lists += 1;
            let tags: BTreeSet<&str> = tags.iter().map(String::as_str).collect();
            let wrong: Vec<_> = labels.symmetric_difference(&tags).copied().collect();
            if !wrong.is_empty() {
                let what =
                    format!("extraStatTags and the metrics' labels differ in {}: list all labels", wrong.join(", "));
                findings.push(Finding::at(&file, line, what));
            }
        }
    }
    if lists == 0 {
        findings.push(Finding::in_file(Path::new(ISTIO), "no file with `extraStatTags`: add one"));
    }
    Ok(findings)
}

/// All labels of all metrics.
fn labels() -> BTreeSet<&'static str> {
    Metric::ALL.iter().flat_map(|metric| metric.labels()).copied().collect()
}

/// The expression that Istio generates for a tag of `extraStatTags`.
fn expression(label: &str) -> String {
    format!("({label}=\\.=(.*?);\\.;)")
}

/// The YAML and JSON files under `folder`, by their paths from the root; none if there is no such folder.
pub(crate) fn texts(workspace: &Workspace, folder: &str) -> Result<Vec<(PathBuf, String)>> {
    let root = workspace.root.join(folder);
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let mut texts = Vec::new();
    for path in files_under(&root, &workspace.target)? {
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml" || ending == "json") {
            let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            texts.push((path.strip_prefix(&workspace.root).unwrap_or(&path).to_owned(), text));
        }
    }
    Ok(texts)
}

/// The `tag_name` and `regex` pairs of a bootstrap in YAML, with the line of the name.
fn rules(text: &str) -> BTreeMap<String, (usize, String)> {
    let mut rules = BTreeMap::new();
    let mut name = None;
    for (index, line) in text.lines().enumerate() {
        for (key, value) in pairs(line) {
            match (key, name.take()) {
                ("tag_name", _) => name = Some((value, index + 1)),
                ("regex", Some((label, line))) => {
                    rules.insert(label, (line, value));
                }
                (_, unfinished) => name = unfinished,
            }
        }
    }
    rules
}

/// The `key: value` pairs of a line of YAML, in block or flow style, without quotes.
fn pairs(line: &str) -> Vec<(&str, String)> {
    let code = line.trim().trim_start_matches("- ").trim_start_matches('{').trim_end_matches([',', '}']);
    code.split(", ")
        .filter_map(|pair| pair.split_once(": "))
        .map(|(key, value)| (key.trim().trim_matches('"'), unquoted(value)))
        .collect()
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        // In double quotes, YAML and JSON double a backslash.
        Some(inner) => inner.replace("\\\\", "\\"),
        None => value.trim_matches('\'').to_owned(),
    }
}

/// Each `extraStatTags` with its line: a block list, a flow list, or the comma-separated value of the pod annotation.
fn tag_lists(text: &str) -> Vec<(usize, Vec<String>)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lists = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((_, value)) = line.split_once("extraStatTags:") else {
            continue;
        };
        if line.trim_start().starts_with('#') {
            continue;
        }
        let value = value.trim().trim_start_matches('[').trim_end_matches(']');
        let words: Vec<String> = if value.is_empty() {
            let items = lines.iter().skip(index + 1).map(|line| line.trim());
            items.map_while(|line| line.strip_prefix("- ")).map(unquoted).collect()
        } else {
            unquoted(value).split(',').map(unquoted).collect()
        };
        lists.push((index + 1, words));
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_in_each_style_of_yaml() {
        let block = "stats_tags:\n- tag_name: basis\n  regex: '(basis=\\.=(.*?);\\.;)'\n";
        let quoted = "stats_tags:\n  - regex: x\n  - tag_name: \"basis\"\n    regex: \"(basis=\\\\.=(.*?);\\\\.;)\"\n";
        let flow = "stats_tags:\n- {tag_name: basis, regex: '(basis=\\.=(.*?);\\.;)'}\n";
        for (text, line) in [(block, 2), (quoted, 3), (flow, 2)] {
            assert_eq!(rules(text), BTreeMap::from([("basis".to_owned(), (line, expression("basis")))]), "{text}");
        }
    }

    #[test]
    fn tags_are_read_from_lists_and_from_the_annotation() {
        let text = "a:\n  extraStatTags:\n  - one\n  - two\nb:\n  extraStatTags: [one, two]\n\
                    c:\n  x/extraStatTags: \"one,two\"\n";
        let both = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(tag_lists(text), [(2, both.clone()), (6, both.clone()), (8, both)]);
    }
}
