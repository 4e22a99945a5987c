//! How a command ended.

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well: exit code 0.
    Done,
    /// Something is wrong with what was checked, and the command has said what: exit code 3.
    Findings,
}
