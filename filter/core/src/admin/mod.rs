//! Envoy's own word: what its admin interface answers to the filter's questions.

pub mod clusters;
pub mod stats;
