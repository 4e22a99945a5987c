//! A cluster's story from attempts and answers to events, on the pure core.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by a panic, also outside of its own function"
)]

mod counted;
mod story;
mod traffic;
mod witnessed;
