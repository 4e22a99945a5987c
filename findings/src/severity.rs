//! How bad a finding is.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know. Alone, it leaves the exit code at 0.
    Note,
    /// It works, but not as most people expect.
    Warning,
    /// It is refused, or has no effect.
    Error,
}

impl Severity {
    /// `error`, `warning`, `note`: the words that people see, which are also SARIF's levels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
