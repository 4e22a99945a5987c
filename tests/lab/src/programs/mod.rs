//! Programs from outside this package: how they are found and run.

pub mod client;
pub mod publisher;
pub mod run;
pub mod tools;
