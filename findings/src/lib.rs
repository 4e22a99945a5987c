//! What the programs have in common: rules with pages, how bad a finding is, SARIF, and what of a stranger's text may
//! reach a terminal.

pub mod rule;
pub mod sarif;
mod severity;
mod steering;

pub use severity::Severity;
pub use steering::steers;
