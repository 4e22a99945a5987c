//! How a command ended, if it did not fail.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// It looked at something, and what it looked at is not as it should be. Exit code 3.
    Findings,
}
