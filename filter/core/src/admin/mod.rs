//! Answers of Envoy's admin interface to the filter's questions.
//!
//! `host_lists` reads the endpoints with their counts, `endpoint_configs` reads them as the load balancer uses them,
//! `rules` reads how a cluster ejects, and `stats` reads the counts of ejections. All go through an answer element by
//! element (`elements`), and share how an address is written (`address`) and what a missing value is (`values`).

mod address;
mod elements;
pub mod endpoint_configs;
pub mod host_lists;
#[cfg(test)]
mod recorded;
pub mod rules;
pub mod stats;
#[cfg(test)]
mod tests;
mod values;
