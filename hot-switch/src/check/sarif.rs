//! A report as SARIF, for code scanning.

use findings::sarif::{self, Found, Related};
use serde_json::Value;

use super::finding::{Because, Finding};
use super::report::Report;
use super::rules;

/// The report. Notes of workloads without a sidecar are left out: they ask nothing of anybody.
#[must_use]
pub fn report(report: &Report) -> Value {
    let told = report.findings().filter(|finding| finding.code != rules::HS102.code);
    sarif::report("hot-switch", env!("CARGO_PKG_VERSION"), rules::ALL, told.map(found))
}

fn found(finding: &Finding) -> Found<'_> {
    let name = finding.resource.clone().unwrap_or_else(|| finding.file.clone());
    Found {
        code: finding.code,
        severity: finding.severity,
        file: &finding.file,
        line: finding.line,
        column: finding.column,
        message: format!("{name}: {}. In a bypass: {}. Fix: {}.", finding.problem, finding.in_a_bypass, finding.fix),
        name,
        related: finding.because.iter().map(related).collect(),
    }
}

fn related(because: &Because) -> Related<'_> {
    Related { name: &because.resource, file: &because.file, line: because.line }
}
