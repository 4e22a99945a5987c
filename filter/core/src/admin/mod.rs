//! Answers of Envoy's admin interface to the filter's questions.

pub mod host_lists;
pub mod stats;
