//! The rules of faultline's filter, pure: observations and the time go in, events and metric changes come out.
//!
//! An observation flows from an attempt, Envoy's admin answers (`admin`) or the clock into the value that the workers
//! share for each cluster (`cluster`), which moves its endpoints (`endpoint`) and its failover (`failover`) and reports
//! what is news as events (`event`), metrics (`metric`) and messages (`notify`).
//!
//! Why apart: the rules (what Envoy charges to an endpoint, when it ejects, what is a failover) can then be tested in
//! microseconds, run natively and in wasm alike, and be compared with Envoy's own detector.
//!
//! Deliberately not here: a host, a clock, I/O, randomness, threads. Time is always an argument.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable,
        reason = "a test may fail by a panic, and clippy.toml has no setting for these"
    )
)]

pub mod admin;
pub mod cluster;
pub mod config;
pub mod endpoint;
pub mod event;
pub mod failover;
pub mod locality;
pub mod metric;
pub mod names;
pub mod notify;
pub mod time;
