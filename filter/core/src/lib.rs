//! What faultline's filter decides, without anything that it decides with: observations and the time go in, events and
//! metric changes come out.
//!
//! Why apart: the rules (what Envoy charges to an endpoint, when it ejects, what is a failover) can then be tested in
//! microseconds, run natively and in wasm alike, and be compared with Envoy's own detector.
//!
//! Reading order: [`outcome`] (what an attempt counts as), [`detector`] (streaks and ejections of one endpoint),
//! [`failover`] (where a cluster's traffic goes), [`cluster`] (all of that for one cluster, as one value that the
//! workers of a proxy share), [`event`] and [`metric`] (what is reported), [`notify`] (what is told at once).
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

pub mod cluster;
pub mod config;
pub mod detector;
pub mod duration;
pub mod ejection;
pub mod event;
pub mod failover;
pub mod locality;
pub mod members;
pub mod metric;
pub mod notify;
pub mod outcome;
mod streak;
pub mod time;
pub mod window;
pub mod witness;
