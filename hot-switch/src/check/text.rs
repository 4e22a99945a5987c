//! A report for people.

use findings::steers;
use hot_switch_core::standing::Directions;
use std::fmt::Write as _;

use super::finding::{Finding, Severity, plural, some_of};
use super::report::{Judged, Report, Verdict};
use super::rules::HS102;

/// What is told of every workload and file. Control characters of strangers are shown, not sent.
#[must_use]
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.files {
        text += &of_finding(finding, "");
    }
    for workload in report.workloads.iter().filter(|it| !is_bare(it)) {
        text += &of_workload(workload);
    }
    let bare: Vec<String> = report.workloads.iter().filter(|it| is_bare(it)).map(|it| it.workload.clone()).collect();
    if !bare.is_empty() {
        let count = plural(bare.len(), "workload");
        let _ = writeln!(text, "{count} without a sidecar, nothing to bypass[HS102]: {}\n", some_of(&bare));
    }
    shown(&text)
}

/// What the last lines say: how much was read, assumed, and not looked into.
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for assumed in &report.assumed {
        let _ = writeln!(text, "assumed: {}", counted(assumed.count, &assumed.what));
    }
    if !report.not_looked_into.is_empty() {
        let kinds: Vec<String> = report.not_looked_into.iter().map(|it| format!("{} {}", it.count, it.what)).collect();
        let _ = writeln!(text, "not looked into: {}", kinds.join(", "));
    }
    if report.findings().next().is_some() {
        text += "`hot-switch check --explain CODE` says more, such as `--explain HS107`\n";
    }
    let count = |severity| report.count(severity);
    let _ = writeln!(
        text,
        "{} of {} checked: {}, {}, {}",
        plural(report.workloads.len(), "workload"),
        plural(report.read.files, "file"),
        plural(count(Severity::Error), "error"),
        plural(count(Severity::Warning), "warning"),
        plural(count(Severity::Note), "note")
    );
    shown(&text)
}

/// A number before words whose first one is the noun.
fn counted(count: usize, words: &str) -> String {
    let (noun, rest) = words.split_once(' ').unwrap_or((words, ""));
    format!("{} {rest}", plural(count, noun))
}

/// Whether all that is to be said is that there is no sidecar.
fn is_bare(workload: &Judged) -> bool {
    workload.refused == [HS102.code] && workload.findings.len() == 1
}

fn of_workload(workload: &Judged) -> String {
    let replicas = match workload.replicas {
        Some(1) => "1 replica".to_owned(),
        Some(count) => format!("{count} replicas"),
        None => "one on each node".to_owned(),
    };
    let directions = match workload.directions {
        Directions::Both => "both directions",
        Directions::Inbound => "inbound only",
        Directions::Outbound => "outbound only",
    };
    let (title, file, line, mode) = (&workload.workload, &workload.file, workload.line, workload.mode.word());
    let mut text =
        format!("{title} ({file}:{line})\n  {mode}, {directions}, {replicas}; sidecar: {}\n", workload.sidecar);
    let told = [("inbound", &workload.inbound), ("outbound", &workload.outbound)];
    let refused = match workload.refused.as_slice() {
        [] => String::new(),
        codes => format!("  refused ({})", codes.join(", ")),
    };
    if told.iter().all(|(_, direction)| direction.verdict == Verdict::Off) {
        let _ = writeln!(text, "{refused}: never bypassed");
    } else {
        if !refused.is_empty() {
            let _ = writeln!(text, "{refused}; if it were not,");
        }
        for (name, direction) in told {
            let verdict = match direction.verdict {
                Verdict::All | Verdict::Part if direction.restored.is_empty() => {
                    "a bypass brings back nobody that is known"
                }
                Verdict::All => "a bypass brings back",
                Verdict::Part => "a bypass brings back in part",
                Verdict::None => "a bypass brings back nothing",
                Verdict::Off => continue,
            };
            let _ = writeln!(text, "  {name}: {verdict}");
            if direction.verdict != Verdict::None {
                for restored in &direction.restored {
                    let _ = writeln!(text, "    + {restored}");
                }
            }
        }
    }
    for finding in &workload.findings {
        text += &of_finding(finding, "  ");
    }
    text.push('\n');
    text
}

fn of_finding(finding: &Finding, indent: &str) -> String {
    let position: String = [finding.line, finding.column].iter().map_while(|n| *n).map(|n| format!(":{n}")).collect();
    let (file, severity, code, problem) = (&finding.file, finding.severity.name(), finding.code, &finding.problem);
    let mut text = format!("{indent}{file}{position}: {severity}[{code}]: {problem}\n");
    // A note is only good to know: its page says the rest.
    if finding.severity == Severity::Note {
        return text;
    }
    let _ = writeln!(text, "{indent}    in a bypass: {}", finding.in_a_bypass);
    let _ = writeln!(text, "{indent}    fix: {}", finding.fix);
    if !finding.because.is_empty() {
        let because: Vec<String> =
            finding.because.iter().map(|it| format!("{} ({}:{})", it.resource, it.file, it.line)).collect();
        let _ = writeln!(text, "{indent}    because of: {}", some_of(&because));
    }
    text
}

/// Text in which nothing can steer a terminal: control characters but line ends, and marks that turn the direction of
/// writing, are spelled out.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// The same for JSON, whose writer leaves some such characters as they are.
#[must_use]
pub fn shown_json(json: &str) -> String {
    let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let escaped = |c: char| if steers(c) && c != '\n' { units(c) } else { c.to_string() };
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        assert_eq!(shown("a\u{1b}]0;x\u{7}\nb\u{202e}"), "a\\u{1b}]0;x\\u{7}\nb\\u{202e}");
    }
}
