//! The terminal: what is written to it, asked at it, and shown while something takes time.

pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod prompt;
