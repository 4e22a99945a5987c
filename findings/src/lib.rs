//! What programs that judge files have in common: rules with pages, how bad a finding is, and SARIF.

pub mod rule;
pub mod sarif;
mod severity;

pub use severity::Severity;
