//! Programs from outside this package: where they are, and how they are run.

pub mod publisher;
pub mod run;
pub mod tools;
