//! SARIF 2.1.0 as code scanning accepts it: every rule with its page, every result with a position.

use serde_json::{Value, json};

use crate::Severity;
use crate::rule::Rule;

/// A finding, as SARIF has it.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The rule's code.
    pub code: &'a str,
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the user named it; `-` is standard input.
    pub file: &'a str,
    /// Counts from 1, if it is known.
    pub line: Option<u64>,
    /// Counts from 1, if it is known.
    pub column: Option<u64>,
    /// What it is about.
    pub name: String,
    /// All that is said.
    pub message: String,
    /// The resources that are the reason.
    pub related: Vec<Related<'a>>,
}

/// A resource that is the reason for a finding.
#[derive(Clone, Debug)]
pub struct Related<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its file.
    pub file: &'a str,
    /// Where it begins; counts from 1.
    pub line: u64,
}

/// A program's report.
#[must_use]
pub fn report<'a>(program: &str, version: &str, rules: &[Rule], found: impl Iterator<Item = Found<'a>>) -> Value {
    let results: Vec<Value> = found.map(|found| result(&found, rules)).collect();
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.code,
                "name": rule.code,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.title},
                "help": {"text": rule.page, "markdown": rule.page},
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": program, "version": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(found: &Found<'_>, rules: &[Rule]) -> Value {
    let mut region = json!({"startLine": found.line.unwrap_or(1).max(1)});
    if let Some(column) = found.column {
        region["startColumn"] = column.into();
    }
    let mut result = json!({
        "ruleId": found.code,
        "ruleIndex": rules.iter().position(|rule| rule.code == found.code),
        "level": found.severity.name(),
        "message": {"text": found.message},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(found.file)}, "region": region},
            "logicalLocations": [{"fullyQualifiedName": found.name}],
        }],
    });
    if !found.related.is_empty() {
        result["relatedLocations"] = found.related.iter().enumerate().map(|(id, of)| related(id, of)).collect();
    }
    result
}

fn related(id: usize, of: &Related<'_>) -> Value {
    json!({
        "id": id,
        "message": {"text": of.name},
        "physicalLocation": {
            "artifactLocation": {"uri": uri(of.file)},
            "region": {"startLine": of.line.max(1)},
        },
    })
}

/// A file's name as the URI reference that SARIF requires. Standard input has no name and gets one here.
fn uri(file: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let path = match file {
        "-" => "stdin",
        _ => file.strip_prefix("./").unwrap_or(file),
    };
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    let encoded =
        path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    scheme.chars().map(String::from).chain(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_becomes_a_uri() {
        assert_eq!(
            ["-", "./a b.yaml", "/x/ü"].map(uri),
            ["stdin", "a%20b.yaml", "file:///x/%C3%BC"].map(str::to_owned)
        );
    }
}
