//! Checks that the documents' tables of events and metrics agree with the code.
//!
//! A table is recognised by the title of its first column; the column of keys or labels, by the end of its title. Names
//! are code spans. Anything in parentheses or braces after a name (its values, the parts of an object) is explanation
//! and not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use filter_core::event::EventKind;
use filter_core::metric::Metric;

use super::finding::Finding;
use crate::workspace::Workspace;

/// The document that lists the events.
const EVENTS: &str = "docs/events.md";
/// The document that lists the metrics.
const METRICS: &str = "docs/metrics.md";

/// The table of events names every event and its keys, and no others.
pub(crate) fn events(workspace: &Workspace) -> Result<Vec<Finding>> {
    let code = EventKind::TABLE.iter().map(|(name, keys)| (*name, keys.iter().copied().collect())).collect();
    compare(workspace, EVENTS, "event", "keys", &code)
}

/// The table of metrics names every metric and its labels, and no others.
pub(crate) fn metrics(workspace: &Workspace) -> Result<Vec<Finding>> {
    let code = Metric::ALL.iter().map(|metric| (metric.name(), metric.labels().iter().copied().collect())).collect();
    compare(workspace, METRICS, "metric", "labels", &code)
}

/// The contents of the code: a name, and the names that belong to it.
type Code<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn compare(workspace: &Workspace, file: &str, thing: &str, parts: &str, code: &Code) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(workspace.root.join(file)).with_context(|| format!("{file} cannot be read"))?;
    Ok(differences(Path::new(file), &text, thing, parts, code))
}

fn differences(file: &Path, text: &str, thing: &str, parts: &str, code: &Code) -> Vec<Finding> {
    let table = find_table(text, thing).and_then(|table| {
        let titles = table.titles.iter();
        let column = titles.map(|title| title.to_ascii_lowercase()).position(|title| title.ends_with(parts))?;
        Some((table.rows, column))
    });
    let Some((rows, column)) = table else {
        let what = format!("no table whose columns are titled `{thing}` first and `… {parts}` later: add it");
        return vec![Finding::in_file(file, what)];
    };
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (line, cells) in rows {
        let documented: BTreeSet<&str> =
            cells.get(column).map(|cell| names(cell)).unwrap_or_default().into_iter().collect();
        for name in names(cells.first().copied().unwrap_or_default()) {
            let Some(coded) = code.get(name) else {
                findings.push(Finding::at(file, line, format!("`{name}` is no {thing} in the code: remove the row")));
                continue;
            };
            seen.insert(name);
            for missing in coded.difference(&documented) {
                findings.push(Finding::at(
                    file,
                    line,
                    format!("`{name}` has `{missing}` in the code: add it to {parts}"),
                ));
            }
            for stray in documented.difference(coded) {
                findings.push(Finding::at(file, line, format!("`{name}` has no `{stray}` in the code: remove it")));
            }
        }
    }
    let missing = code.keys().filter(|name| !seen.contains(*name));
    findings.extend(missing.map(|name| Finding::in_file(file, format!("the {thing} `{name}` has no row: add one"))));
    findings
}

/// A row's line, from 1, and its cells.
pub(crate) type Row<'a> = (usize, Vec<&'a str>);

/// A table of a Markdown text.
pub(crate) struct Table<'a> {
    titles: Vec<&'a str>,
    pub(crate) rows: Vec<Row<'a>>,
}

/// The first table whose first column is titled `thing`.
pub(crate) fn find_table<'a>(text: &'a str, thing: &str) -> Option<Table<'a>> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let titles = lines
        .by_ref()
        .map(|(_, line)| cells(line))
        .find(|titles| titles.first().is_some_and(|title| title.eq_ignore_ascii_case(thing)))?;
    // The line of dashes is below the titles.
    let rows = lines
        .skip(1)
        .take_while(|(_, line)| line.starts_with('|'))
        .map(|(number, line)| (number, cells(line)))
        .collect();
    Some(Table { titles, rows })
}

fn cells(line: &str) -> Vec<&str> {
    let Some(inner) = line.strip_prefix('|') else {
        return Vec::new();
    };
    inner.strip_suffix('|').unwrap_or(inner).split('|').map(str::trim).collect()
}

/// The code spans of a cell that are outside parentheses and braces.
pub(crate) fn names(cell: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for (index, piece) in cell.split('`').enumerate() {
        // Code is between an odd backtick and the following even one.
        if index % 2 == 1 {
            if depth == 0 {
                names.push(piece);
            }
            continue;
        }
        for c in piece.chars() {
            match c {
                '(' | '{' => depth += 1,
                ')' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
| option | keys |
|---|---|
| `other` | `a` |

| Event | when | Further keys |
|---|---|---|
| `streak` | errors `in a row` | `kind` (`5xx`, `reset`), `last` {`code`} |
| `down` / `up` | | `seconds` |
after | it
";

    fn code() -> Code<'static> {
        BTreeMap::from([
            ("streak", BTreeSet::from(["kind", "last"])),
            ("down", BTreeSet::from(["seconds"])),
            ("up", BTreeSet::from(["seconds"])),
        ])
    }

    fn told(code: &Code) -> Vec<String> {
        differences(Path::new(EVENTS), TEXT, "event", "keys", code).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_that_agrees_gives_no_finding() {
        assert_eq!(told(&code()), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_found_where_it_is() {
        let mut code = code();
        code.remove("up");
        code.insert("new", BTreeSet::new());
        code.insert("streak", BTreeSet::from(["kind", "threshold"]));
        assert_eq!(
            told(&code),
            [
                "docs/events.md:8: `streak` has `threshold` in the code: add it to keys",
                "docs/events.md:8: `streak` has no `last` in the code: remove it",
                "docs/events.md:9: `up` is no event in the code: remove the row",
                "docs/events.md: the event `new` has no row: add one",
            ]
        );
    }

    #[test]
    fn a_missing_table_is_one_finding() {
        assert_eq!(differences(Path::new(EVENTS), "# Title", "event", "keys", &code()).len(), 1);
    }
}
