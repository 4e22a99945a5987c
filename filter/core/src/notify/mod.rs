//! What is sent at once to those who are on call: failovers and clusters without a healthy endpoint, as they start and
//! end.
//!
//! To Alertmanager they are alerts, under the names and labels of `deploy/prometheus`, so that it groups both; to any
//! other receiver they are the events themselves. An alert that is open carries no `endsAt`: Alertmanager then counts
//! its own `resolve_timeout` from its last message, by its own clock, so the alert of a proxy that died ends by
//! itself. With an `endsAt` in the future it would ignore an end that a proxy whose clock is ahead reports.
//!
//! `outbox` holds what waits to be sent. Not here: the sending.

mod message;
pub mod outbox;

pub use message::{Alert, Message};

#[cfg(test)]
mod tests;
