//! Prints findings: for people as compilers do, for machines as JSON or, for code scanning, as SARIF 2.1.0.

use std::collections::HashMap;
use std::rc::Rc;

use findings::sarif::{self, Found};
use mesh::{Mesh, kinds};
use serde::Serialize;
use serde_json::Value;

use super::finding::{Finding, Severity};
use super::rules;
use crate::terminal::escape;

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
    let mut of_files: HashMap<Rc<str>, Vec<Finding>> = HashMap::new();
    for finding in findings {
        of_files.entry(Rc::clone(&finding.file)).or_default().push(finding);
    }
    let judged = kinds::judged(mesh);
    let report = |file: &Rc<str>| {
        let findings = of_files.remove(file).unwrap_or_default();
        let valid = findings.iter().all(|finding| finding.severity == Severity::Note);
        let judged = !findings.is_empty() || judged.contains(&**file);
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

/// For code scanning.
pub(crate) fn sarif(reports: &[Report]) -> Value {
    let findings = reports.iter().flat_map(|report| &report.findings);
    sarif::report("faultline", env!("CARGO_PKG_VERSION"), rules::ALL, findings.map(found))
}

fn found(finding: &Finding) -> Found<'_> {
    let name = match &finding.resource {
        Some(resource) => format!("{resource}: {}", finding.path),
        None => finding.path.clone(),
    };
    Found {
        code: finding.code,
        severity: finding.severity,
        file: &finding.file,
        line: finding.line,
        column: finding.column,
        message: format!("{name}: {}. At run time: {}. Fix: {}.", finding.problem, finding.at_run_time, finding.fix),
        name,
        related: Vec::new(),
    }
}
