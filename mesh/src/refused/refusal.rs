//! A reason for which a resource is refused: where, what, and what to write instead.

use crate::yaml::node::Node;

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A value of another type than the schema has, or outside of its bounds.
    Type,
    /// A value, or what is missing beside it.
    Value,
    /// Locality settings that exclude each other.
    Exclusive,
    /// A failover that is not from one region to another.
    Regions,
    /// Weights that do not add up to 100.
    Weights,
    /// A threshold of local-origin failures that are not split from others.
    Split,
}

/// Why a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where.
    pub path: String,
    /// What.
    pub what: What,
    /// What is there.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
    /// Whether it is refused every time; else by chance.
    pub is_certain: bool,
}

impl Refusal {
    /// A value that is refused.
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>, fix: &str) -> Self {
        let (path, problem, fix) = (path.into(), problem.into(), fix.to_owned());
        Self { path, what: What::Value, problem, fix, is_certain: true }
    }

    /// The same, of another kind.
    pub(super) fn of(self, what: What) -> Self {
        Self { what, ..self }
    }
}

/// The texts of a list.
pub(super) fn texts<'a>(node: &'a Node, path: &str) -> Vec<&'a str> {
    node.list(path).iter().map(|item| item.text("").unwrap_or_default()).collect()
}
