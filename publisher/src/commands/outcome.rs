//! The outcome of a command, from which the exit code follows.

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well: exit code 0.
    Done,
    /// The checked input has problems, which the command has reported: exit code 3.
    Findings,
}
