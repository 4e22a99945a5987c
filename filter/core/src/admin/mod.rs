//! Envoy's own word: what its admin interface answers to the filter's questions.

pub mod host_lists;
pub mod stats;
