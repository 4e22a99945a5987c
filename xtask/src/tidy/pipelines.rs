//! Checks the files that bring events into log engines and make alerts of them: they name events that exist, and pages
//! that exist.
//!
//! A query for an event that no filter writes is valid and finds nothing. The engines themselves are not at hand here.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use filter_core::event::EventKind;

use super::deploy::texts;
use super::finding::Finding;
use crate::workspace::Workspace;

const AGENT: &str = "deploy/otel/agent.yaml";
const FOLDERS: [&str; 3] = ["deploy/otel", "deploy/victorialogs", "deploy/loki"];
const RUNBOOKS: &str = "docs/runbooks/";

/// The collector gives every event a severity, and no rule names an event or a runbook that does not exist.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let events: BTreeSet<&str> = EventKind::TABLE.iter().map(|(name, _)| *name).collect();
    let mut findings = Vec::new();
    for folder in FOLDERS {
        for (file, text) in texts(workspace, folder)? {
            if file == Path::new(AGENT) {
                let named: BTreeSet<&str> = words(&text).collect();
                let missing = events.iter().filter(|event| !named.contains(**event));
                findings
                    .extend(missing.map(|event| Finding::in_file(&file, format!("`{event}` has no severity: add it"))));
            }
            for (index, line) in text.lines().enumerate() {
                let unknown = selected(line).filter(|event| !events.contains(event));
                findings.extend(unknown.map(|event| {
                    Finding::at(&file, index + 1, format!("`{event}` is no event of the code: correct it"))
                }));
                if let Some((_, page)) = line.split_once(RUNBOOKS)
                    && !workspace.root.join(RUNBOOKS).join(page.trim()).is_file()
                {
                    findings.push(Finding::at(
                        &file,
                        index + 1,
                        format!("there is no {RUNBOOKS}{}: write it", page.trim()),
                    ));
                }
            }
        }
    }
    Ok(findings)
}

/// The words of a text that could be names of events.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| !word.is_empty())
}

/// The events that a line of a query selects: by VictoriaLogs' `faultline.event:NAME` or `:in(NAME,…)`, or as the
/// beginning of an event's line, `"faultline":"NAME"`.
fn selected(line: &str) -> impl Iterator<Item = &str> {
    let by_field = line.split("faultline.event:").skip(1).flat_map(|rest| match rest.strip_prefix("in(") {
        // What Grafana fills in is chosen among the events that are there.
        Some(list) if list.starts_with("${") => Vec::new(),
        Some(list) => list.split(')').next().unwrap_or_default().split(',').collect::<Vec<_>>(),
        // Any event.
        None if rest.starts_with('*') => Vec::new(),
        None => words(rest).take(1).collect(),
    });
    let by_text = line.split("\"faultline\":\"").skip(1).filter_map(|rest| rest.split_once('"').map(|(name, _)| name));
    by_field.chain(by_text.filter(|name| words(name).eq([*name])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_in_each_engines_queries() {
        let found = |line: &'static str| selected(line).collect::<Vec<_>>();
        assert_eq!(
            found("_time:1h faultline.event:in(a_b,c) | stats by (x) faultline.event:d_e x"),
            ["a_b", "c", "d_e"]
        );
        assert_eq!(found(r#"| regexp `(?P<event>\{"faultline":"failover_ended".*\})`"#), ["failover_ended"]);
        assert_eq!(found("faultline.event:* (x) | faultline.event:in(${event:doublequote}) y"), [""; 0]);
        // Alternatives of an expression are not names.
        assert_eq!(found(r#"\{"faultline":"failover_(?:started|changed)".*"#), [""; 0]);
    }
}
