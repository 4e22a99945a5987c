//! Checks the reference of the plugin's configuration, if it has a table, against the schema of the types.
//!
//! The reference is the table whose first column is titled `option`. A row names a field by its path from the top,
//! `failover.window` or `clusters[].match`, and so it also describes `failover`. A type that occurs in several places
//! has to be described in only one of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::finding::Finding;
use super::tables::{find_table, names};
use crate::workspace::Workspace;

/// The document that lists the options.
const OPTIONS: &str = "docs/configuration.md";

/// A field: the type that contains it (empty for the configuration itself), and its name.
type Field = (String, String);

/// The table of options names every field of the configuration, and no others.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(workspace.root.join(OPTIONS)).with_context(|| format!("{OPTIONS} cannot be read"))?;
    Ok(differences(&text, filter_core::config::json_schema().as_value()))
}

fn differences(text: &str, schema: &Value) -> Vec<Finding> {
    let file = Path::new(OPTIONS);
    let Some(table) = find_table(text, "option") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut described = BTreeSet::new();
    for (line, cells) in table.rows {
        for path in cells.first().map(|cell| names(cell)).unwrap_or_default() {
            match fields_along(schema, path) {
                Some(fields) => described.extend(fields),
                None => {
                    let what = format!("the configuration has no `{path}`: remove it");
                    findings.push(Finding::at(file, line, what));
                }
            }
        }
    }
    for (owner, name) in all_fields(schema).difference(&described) {
        let owner = if owner.is_empty() { "the configuration" } else { owner };
        let what = format!("the option `{name}` of {owner} has no row: add one");
        findings.push(Finding::in_file(file, what));
    }
    findings
}

/// Every field of the configuration and of the types in it.
fn all_fields(schema: &Value) -> BTreeSet<Field> {
    let parts = schema.get("$defs").and_then(Value::as_object);
    let parts = parts.into_iter().flatten().map(|(name, part)| (name.as_str(), part));
    std::iter::once(("", schema))
        .chain(parts)
        .flat_map(|(owner, part)| {
            let fields = part.get("properties").and_then(Value::as_object);
            let names = fields.into_iter().flat_map(|fields| fields.keys());
            names.map(move |name| (owner.to_owned(), name.clone()))
        })
        .collect()
}

/// The fields that a path from the top passes through; `None` if the path does not exist.
fn fields_along(schema: &Value, path: &str) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut owner = (String::new(), schema);
    for segment in path.split('.') {
        let name = segment.trim_end_matches("[]");
        let (owner_name, part) = &owner;
        let field = part.get("properties")?.get(name)?;
        fields.push((owner_name.clone(), name.to_owned()));
        // A field without a type of its own has no fields below it.
        let below = referred_type(field).unwrap_or_default();
        let part = schema.get("$defs").and_then(|parts| parts.get(&below)).unwrap_or(&Value::Null);
        owner = (below, part);
    }
    Some(fields)
}

/// The type that a field's schema refers to, even if it is optional or in a list.
fn referred_type(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(parts) => match parts.get("$ref").and_then(Value::as_str) {
            Some(reference) => reference.rsplit('/').next().map(str::to_owned),
            None => parts.values().find_map(referred_type),
        },
        Value::Array(items) => items.iter().find_map(referred_type),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        serde_json::json!({
            "properties": {
                "rules": {"type": "array", "items": {"$ref": "#/$defs/Rule"}},
                "window": {"type": "string"}
            },
            "$defs": {"Rule": {"properties": {"match": {"type": "string"}}}}
        })
    }

    fn told(rows: &str) -> Vec<String> {
        let text = format!("| Option | default |\n|---|---|\n{rows}");
        differences(&text, &schema()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reference_that_agrees_gives_no_finding() {
        assert_eq!(told("| `rules[].match` | |\n| `window` | |\n"), Vec::<String>::new());
    }

    #[test]
    fn options_too_many_and_too_few_are_found() {
        assert_eq!(
            told("| `rules` | |\n| `window` | |\n| `rules[].none` | |\n| `window.none` | |\n"),
            [
                "docs/configuration.md:5: the configuration has no `rules[].none`: remove it",
                "docs/configuration.md:6: the configuration has no `window.none`: remove it",
                "docs/configuration.md: the option `match` of Rule has no row: add one",
            ]
        );
    }

    #[test]
    fn no_reference_is_no_finding() {
        assert!(differences("# Title", &schema()).is_empty());
    }
}
