//! The controller: which of the agents' wishes are granted, and what that changes in the pods' objects.

pub mod changes;
pub mod decide;
pub mod run;
