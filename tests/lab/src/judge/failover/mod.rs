//! The judge of failovers: what the filter tells of them, against what Envoy said of its hosts twenty times a second
//! and against the requests that endpoints got.
//!
//! What is right follows from the definition of a failover in the documents, not from the filter's code. Where samples
//! and chance leave a range (the moment at which a share has grown enough, a share of few requests), all of it is
//! right; whether there was a failover, from where, to where, why, and when it ended is judged strictly.

mod end;
mod history;
mod series;
mod start;
#[cfg(test)]
mod tests;
mod tolerance;
mod verdict;

pub(super) use history::{History, Sources};
pub(super) use verdict::{Failovers, judge};
