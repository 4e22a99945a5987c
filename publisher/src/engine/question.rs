//! What is asked of an engine: which events, and of which time.

use filter_core::time::Millis;

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
