//! Tests of the core's public interface: the detector and failovers step by step, and a cluster from attempts and
//! answers to events.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by a panic, also outside of its own function"
)]

mod cluster;
mod detector;
mod envoys_detector;
mod failover;
