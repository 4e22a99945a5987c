//! What all workers of the proxy know together, in Envoy's shared data: one file for each kind of value.
//!
//! A change takes the value, works on a copy, and puts it back if nobody was faster, else it starts over: so each event
//! is made once per proxy. [`compare_and_swap`] does that; it knows nothing of what the values mean.

pub(crate) mod claims;
pub(crate) mod cluster_states;
mod compare_and_swap;
pub(crate) mod open_findings;
pub(crate) mod outbox;
pub(crate) mod question;
