//! A report as SARIF 2.1.0, as code scanning accepts it: every rule with its page, every result with a position.

use serde_json::{Value, json};

use super::finding::{Because, Finding};
use super::report::Report;
use super::rules;

/// The report. Notes of workloads without a sidecar are left out: they ask nothing of anybody.
#[must_use]
pub fn report(report: &Report) -> Value {
    let rules: Vec<Value> = rules::ALL
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
    let told = report.findings().filter(|finding| finding.code != rules::HS102.code);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "hot-switch", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": told.map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let mut region = json!({"startLine": finding.line.unwrap_or(1).max(1)});
    if let Some(column) = finding.column {
        region["startColumn"] = column.into();
    }
    let name = finding.resource.clone().unwrap_or_else(|| finding.file.clone());
    let message = format!("{name}: {}. In a bypass: {}. Fix: {}.", finding.problem, finding.in_a_bypass, finding.fix);
    let related: Vec<Value> = finding.because.iter().enumerate().map(|(id, because)| related(id, because)).collect();
    json!({
        "ruleId": finding.code,
        "ruleIndex": rules::ALL.iter().position(|rule| rule.code == finding.code),
        "level": finding.severity.name(),
        "message": {"text": message},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(&finding.file)}, "region": region},
            "logicalLocations": [{"fullyQualifiedName": name}],
        }],
        "relatedLocations": related,
    })
}

fn related(id: usize, because: &Because) -> Value {
    json!({
        "id": id,
        "message": {"text": because.resource},
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&because.file)},
            "region": {"startLine": because.line.max(1)},
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
