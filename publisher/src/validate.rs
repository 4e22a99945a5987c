//! `faultline validate`: are these plugin configurations right?
//!
//! The filter's own parser decides, so nothing passes here that the filter would reject. It is stricter in one point: an unknown
//! field, about which the filter only warns, is a finding.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use filter_core::config::{self, MAX_TEXT_BYTES};
use serde::Serialize;

use crate::Outcome;
use crate::cli::Validate;
use crate::output::{self, Format};

/// Something wrong with a configuration.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The field, such as `clusters[2].outlierDetection.interval`; `.` is the whole text.
    pub path: String,
    /// What came and what was wanted.
    pub problem: String,
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    valid: bool,
    findings: Vec<Finding>,
}

/// Runs it. Every file is looked at, whatever is wrong with those before it.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &Validate, format: Format) -> anyhow::Result<Outcome> {
    let mut reports = Vec::new();
    let mut unreadable = None;
    for path in &args.files {
        match read(path) {
            Ok(text) => {
                let findings = check(&text);
                if findings.is_empty() && text.trim_ascii().is_empty() {
                    output::note(&format!("{}: empty: the defaults apply", path.display()));
                }
                reports.push(Report { file: path.display().to_string(), valid: findings.is_empty(), findings });
            }
            Err(error) if unreadable.is_none() => unreadable = Some(error),
            Err(error) => output::note(&format!("error: {error:#}")),
        }
    }
    let findings: usize = reports.iter().map(|report| report.findings.len()).sum();
    match format {
        Format::Json => output::json(&reports)?,
        Format::Text => {
            let line = |file: &str, finding: &Finding| match finding.path.as_str() {
                "." => format!("{file}: {}\n", finding.problem),
                path => format!("{file}: {path}: {}\n", finding.problem),
            };
            let lines: String =
                reports.iter().flat_map(|report| report.findings.iter().map(|f| line(&report.file, f))).collect();
            if !lines.is_empty() {
                output::result(&lines)?;
            }
        }
    }
    if let Some(error) = unreadable {
        return Err(error);
    }
    output::note(&format!("{} checked, {findings} found wrong", reports.len()));
    Ok(if findings == 0 { Outcome::Done } else { Outcome::Findings })
}

/// Reads a configuration's text, `-` being standard input; no further than the filter would.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = MAX_TEXT_BYTES as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
    Ok(text)
}

/// Everything wrong with a configuration that can be told at once.
pub fn check(text: &[u8]) -> Vec<Finding> {
    match config::parse(text) {
        Ok(parsed) => parsed
            .unknown_fields
            .into_iter()
            .map(|path| Finding {
                path,
                problem: "no such field; check its spelling against `faultline config-schema`".into(),
            })
            .collect(),
        Err(error) => vec![Finding { path: error.path, problem: error.problem }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_findings_here() {
        let findings = check(br#"{"outlierDetecton": {}, "limits": {"series": 100, "serie": 1}}"#);
        let mut paths: Vec<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["limits.serie", "outlierDetecton"]);
        assert_eq!(check(b"{}"), []);
        assert_eq!(check(b""), []);
        assert_eq!(check(b"nonsense").len(), 1);
    }
}
