//! Terminal I/O: output, password prompts and progress bars.

pub(crate) mod escape;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod prompt;
