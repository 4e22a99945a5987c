//! What a rule says about a position in a file.

use std::rc::Rc;

use serde::Serialize;

use super::rules::Rule;
use crate::mesh::Resource;
use crate::yaml::node::{Node, Position};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Good to know. Alone, it leaves the exit code at 0.
    Note,
    /// It works, and not as most people who write this expect.
    Warning,
    /// It is refused, or has no effect.
    Error,
}

impl Severity {
    /// `error`, `warning`, `note`: as people read it, and as SARIF calls its levels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a rule found, before it is known in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The rule.
    pub(crate) rule: Rule,
    /// How bad it is here.
    pub(crate) severity: Severity,
    /// The field, such as `clusters[2].outlierDetection.interval`; `.` is the whole.
    pub(crate) path: String,
    /// What is there.
    pub(crate) problem: String,
    /// What will happen because of it.
    pub(crate) at_run_time: String,
    /// What to write instead.
    pub(crate) fix: String,
}

impl Draft {
    /// The same, with the path as seen from what this is a part of.
    pub(crate) fn inside(mut self, prefix: &str) -> Self {
        self.path = if self.path == "." { prefix.to_owned() } else { format!("{prefix}.{}", self.path) };
        self
    }

    /// Placed in a resource.
    pub(crate) fn in_resource(self, resource: &Resource) -> Finding {
        let position = resource.node.position_of(&self.path);
        self.at(&resource.file, Some(resource.title()), Some(position))
    }

    /// Placed in a file that is no resource.
    pub(crate) fn in_file(self, file: &Rc<str>, node: Option<&Node>) -> Finding {
        let position = node.map(|node| node.position_of(&self.path));
        self.at(file, None, position)
    }

    /// The finding at this position.
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

/// A finding, as it is written. The field names are those of `--output json`, and stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The rule's code.
    pub(crate) code: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file, as it was named.
    #[serde(skip)]
    pub(crate) file: Rc<str>,
    /// From 1; `null` where only the file is known.
    pub(crate) line: Option<u64>,
    /// From 1; `null` where only the line is known.
    pub(crate) column: Option<u64>,
    /// Kind, namespace and name of the resource; `null` in a plugin configuration that stands alone.
    pub(crate) resource: Option<String>,
    /// The field; `.` is the whole.
    pub(crate) path: String,
    /// What is there.
    pub(crate) problem: String,
    /// What will happen because of it.
    pub(crate) at_run_time: String,
    /// What to write instead.
    pub(crate) fix: String,
}
