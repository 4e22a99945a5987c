//! Prints findings: for people as compilers do, for machines as JSON or, for code scanning, as SARIF 2.1.0.

use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};

use super::finding::{Finding, Severity};
use super::rules;
use crate::terminal::escape;
use mesh::{Mesh, kinds};

/// One file and its findings.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The file, as the user named it.
    pub(crate) file: String,
    /// Whether there are no errors and no warnings.
    pub(crate) valid: bool,
    /// Whether any rule looks into what is in it.
    pub(crate) judged: bool,
    /// What was found.
    pub(crate) findings: Vec<Finding>,
}

/// Groups findings by file, in the order of the files and then of the lines.
pub(crate) fn by_file(mesh: &Mesh, mut findings: Vec<Finding>) -> Vec<Report> {
    findings.sort_by_key(|finding| (finding.line, finding.column, finding.code));
    let report = |file: &Rc<str>| {
        let findings: Vec<Finding> = findings.iter().filter(|finding| finding.file == *file).cloned().collect();
        let valid = findings.iter().all(|finding| finding.severity == Severity::Note);
        let judged = !findings.is_empty() || kinds::is_judged(mesh, file);
        Report { file: file.to_string(), valid, judged, findings }
    };
    mesh.files.iter().map(report).collect()
}

/// For people: `file.yaml:12:5: error[FL101]: …`, followed by what will happen and what to do.
pub(crate) fn text(reports: &[Report]) -> String {
    let mut text = String::new();
    for finding in reports.iter().flat_map(|report| &report.findings) {
        let position: String =
            [finding.line, finding.column].iter().map_while(|n| *n).map(|n| format!(":{n}")).collect();
        let resource = finding.resource.as_ref().map_or(String::new(), |resource| format!("{resource}: "));
        let path = if finding.path == "." { String::new() } else { format!("{}: ", finding.path) };
        let (file, severity, code) = (&finding.file, finding.severity.name(), finding.code);
        // Names and values of strangers are in all of it, and a line end in one must not make a line of its own.
        for line in [
            format!("{file}{position}: {severity}[{code}]: {resource}{path}{}", finding.problem),
            format!("    at run time: {}", finding.at_run_time),
            format!("    fix: {}", finding.fix),
            format!("    see `faultline validate --explain {code}`"),
        ] {
            text += &escape::one_line(&line);
            text.push('\n');
        }
    }
    text
}

/// SARIF 2.1.0 as code scanning accepts it: every rule with its page, every result with a position.
pub(crate) fn sarif(reports: &[Report]) -> Value {
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
    let findings = reports.iter().flat_map(|report| &report.findings);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "faultline", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": findings.map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let mut region = json!({"startLine": finding.line.unwrap_or(1).max(1)});
    if let Some(column) = finding.column {
        region["startColumn"] = column.into();
    }
    let name = match &finding.resource {
        Some(resource) => format!("{resource}: {}", finding.path),
        None => finding.path.clone(),
    };
    let message = format!("{name}: {}. At run time: {}. Fix: {}.", finding.problem, finding.at_run_time, finding.fix);
    json!({
        "ruleId": finding.code,
        "ruleIndex": rules::ALL.iter().position(|rule| rule.code == finding.code),
        "level": finding.severity.name(),
        "message": {"text": message},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri(&finding.file)}, "region": region},
            "logicalLocations": [{"fullyQualifiedName": name}],
        }],
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
