//! The commands: for each its arguments, its help, what it does and what it prints, over libraries that know nothing of it.

pub(crate) mod options;
pub(crate) mod outcome;
