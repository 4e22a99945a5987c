//! A finding: what a rule says of a workload, or of a file.

use std::rc::Rc;

pub use findings::Severity;
use findings::rule::Rule;
use mesh::Resource;
use mesh::yaml::node::Position;
use serde::Serialize;

/// A resource that is the reason for a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Because {
    /// Kind, namespace and name.
    pub resource: String,
    /// The file, as the user named it.
    pub file: String,
    /// Where it begins; counts from 1.
    pub line: u64,
}

impl Because {
    /// What is told of a resource.
    pub(crate) fn of(resource: &Resource) -> Self {
        Self {
            resource: resource.title(),
            file: resource.file.to_string(),
            line: resource.node.position_of("metadata.name").line,
        }
    }
}

/// A finding that is not yet assigned to a place.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) rule: Rule,
    pub(crate) severity: Severity,
    /// The field in the resource that has the pods; empty is its name.
    pub(crate) path: String,
    pub(crate) problem: String,
    pub(crate) in_a_bypass: String,
    pub(crate) fix: String,
    pub(crate) affects: Vec<String>,
    pub(crate) because: Vec<Because>,
}

impl Draft {
    /// A finding from its words: what is there, what it means in a bypass, what can be done.
    pub(crate) fn new(rule: Rule, severity: Severity, words: [&str; 3]) -> Self {
        let [problem, in_a_bypass, fix] = words.map(str::to_owned);
        let (path, affects, because) = (String::new(), Vec::new(), Vec::new());
        Self { rule, severity, path, problem, in_a_bypass, fix, affects, because }
    }

    /// The same, at a field.
    pub(crate) fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The same, with the resources that are the reason, each once.
    pub(crate) fn because<'a>(mut self, resources: impl IntoIterator<Item = &'a Resource>) -> Self {
        self.because.extend(resources.into_iter().map(Because::of));
        self.because.sort();
        self.because.dedup();
        self
    }

    /// The same, with the names of all that is affected, each once.
    pub(crate) fn affects(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.affects.extend(names);
        self.affects.sort();
        self.affects.dedup();
        self
    }

    /// The finding in a file.
    pub(crate) fn found(self, file: &Rc<str>, resource: Option<String>, position: Option<Position>) -> Finding {
        Finding {
            code: self.rule.code,
            severity: self.severity,
            file: file.to_string(),
            line: position.map(|position| position.line),
            column: position.and_then(|position| position.column),
            resource,
            problem: self.problem,
            in_a_bypass: self.in_a_bypass,
            fix: self.fix,
            affects: self.affects,
            because: self.because,
        }
    }
}

/// A finding as it is printed. The field names are those of `--output json` and must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule's code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the user named it.
    pub file: String,
    /// Counts from 1; `null` if only the file is known.
    pub line: Option<u64>,
    /// Counts from 1; `null` if only the line is known.
    pub column: Option<u64>,
    /// Kind, namespace and name of the workload; `null` for a file.
    pub resource: Option<String>,
    /// What is there.
    pub problem: String,
    /// What it means in a bypass.
    pub in_a_bypass: String,
    /// What can be done.
    pub fix: String,
    /// All that is affected, such as Services with their ports.
    pub affects: Vec<String>,
    /// The resources that are the reason.
    pub because: Vec<Because>,
}

/// A few of many names: `a, b, c and 4 more`.
pub(crate) fn some_of(names: &[String]) -> String {
    const NAMED: usize = 4;
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

/// A number with its noun: `1 file`, `3 files`.
#[must_use]
pub fn plural(count: usize, what: &str) -> String {
    let many = match what {
        _ if count == 1 => return format!("1 {what}"),
        "policy" => "policies".to_owned(),
        "namespace of its own" => "namespaces of their own".to_owned(),
        _ => format!("{what}s"),
    };
    format!("{count} {many}")
}
