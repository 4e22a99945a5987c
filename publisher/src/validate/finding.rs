//! A finding: what a rule reports about a position in a file.

use std::rc::Rc;

pub(crate) use findings::Severity;
use findings::rule::Rule;
use mesh::Resource;
use mesh::yaml::node::{Node, Position};
use serde::Serialize;

/// A finding that is not yet assigned to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The rule.
    pub(crate) rule: Rule,
    /// How bad it is here.
    pub(crate) severity: Severity,
    /// The field, such as `clusters[2].outlierDetection.interval`; `.` is the whole document.
    pub(crate) path: String,
    /// What is there.
    pub(crate) problem: String,
    /// What will happen because of it.
    pub(crate) at_run_time: String,
    /// What to write instead.
    pub(crate) fix: String,
}

impl Draft {
    /// A finding from its words: what is there, what will happen, what to write instead.
    pub(crate) fn new(rule: Rule, severity: Severity, path: String, words: [&str; 3]) -> Self {
        let [problem, at_run_time, fix] = words.map(str::to_owned);
        Self { rule, severity, path, problem, at_run_time, fix }
    }

    /// The same finding, with the path prefixed by that of the enclosing node.
    pub(crate) fn inside(mut self, prefix: &str) -> Self {
        self.path = if self.path == "." { prefix.to_owned() } else { format!("{prefix}.{}", self.path) };
        self
    }

    /// The finding in a resource.
    pub(crate) fn in_resource(self, resource: &Resource) -> Finding {
        let position = resource.node.position_of(&self.path);
        self.at(&resource.file, Some(resource.title()), Some(position))
    }

    /// The finding in a file that is not a resource.
    pub(crate) fn in_file(self, file: &Rc<str>, node: Option<&Node>) -> Finding {
        let position = node.map(|node| node.position_of(&self.path));
        self.at(file, None, position)
    }

    /// The finding at a position.
    pub(crate) fn at(self, file: &Rc<str>, resource: Option<String>, position: Option<Position>) -> Finding {
        Finding {
            code: self.rule.code,
            severity: self.severity,
            file: Rc::clone(file),
            line: position.map(|position| position.line),
            column: position.and_then(|position| position.column),
            resource,
            path: self.path,
            problem: self.problem,
            at_run_time: self.at_run_time,
            fix: self.fix,
        }
    }
}

/// A finding as it is printed. The field names are those of `--output json` and must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The rule's code.
    pub(crate) code: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file, as the user named it.
    #[serde(skip)]
    pub(crate) file: Rc<str>,
    /// Counts from 1; `null` if only the file is known.
    pub(crate) line: Option<u64>,
    /// Counts from 1; `null` if only the line is known.
    pub(crate) column: Option<u64>,
    /// Kind, namespace and name of the resource; `null` for a plugin configuration outside any resource.
    pub(crate) resource: Option<String>,
    /// The field; `.` is the whole document.
    pub(crate) path: String,
    /// What is there.
    pub(crate) problem: String,
    /// What will happen because of it.
    pub(crate) at_run_time: String,
    /// What to write instead.
    pub(crate) fix: String,
}
