//! What is asked of an engine: which events, and of which time.

use filter_core::time::Millis;

/// So long before a time are the events that tell what was going on when it begins.
const BEFORE_MS: Millis = 3_600_000;

/// Which records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// From when.
    pub(crate) from: Millis,
    /// Until when; exclusive.
    pub(crate) to: Millis,
    /// What narrows it further, in the engine's own language.
    pub(crate) filter: Option<String>,
}

impl Question {
    /// The same, from an hour earlier on.
    pub(crate) fn with_hour_before(&self) -> Self {
        Self { from: self.from.saturating_sub(BEFORE_MS), ..self.clone() }
    }
}
