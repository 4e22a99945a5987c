//! The rules of faultline's filter as pure functions: observations and the time go in, events and metric changes come
//! out.
//!
//! An observation comes from an attempt, Envoy's admin answers (`admin`) or the clock. It goes into the value that the
//! workers share for each cluster (`cluster`), which updates its endpoints (`endpoint`) and its failover (`failover`)
//! and reports news as events (`event`), metrics (`metric`) and messages (`notify`).
//!
//! The rules (what Envoy charges to an endpoint, when it ejects, what a failover is) are a separate crate so that they
//! can be tested in microseconds, run natively and in wasm alike, and be compared with Envoy's own detector.
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
pub mod encoding;
pub mod endpoint;
pub mod event;
pub mod failover;
pub mod json;
pub mod locality;
pub mod metric;
pub mod names;
pub mod notify;
pub mod order;
pub mod text;
pub mod time;
