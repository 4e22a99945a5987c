//! The decisions under virtual time: stories with one pod, and random failures of everything with what must always
//! hold.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by a panic, also outside of its own function"
)]

mod random;
mod stories;
mod world;
