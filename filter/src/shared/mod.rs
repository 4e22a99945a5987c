//! What all workers of the proxy know, in Envoy's shared data: one file for each kind of value.
//!
//! A change takes the value, works on a copy, and writes it back if no other worker was faster; otherwise it starts
//! over. So each event is made once per proxy. [`compare_and_swap`] does that and does not know what the values mean.

pub(crate) mod claims;
pub(crate) mod cluster_states;
mod compare_and_swap;
pub(crate) mod home;
pub(crate) mod names;
pub(crate) mod open_findings;
pub(crate) mod outbox;
pub(crate) mod owners;
pub(crate) mod question;
pub(crate) mod successes;
