//! Messages that are sent at once to those on call: failovers and clusters without a healthy endpoint, when they start
//! and when they end.
//!
//! Alertmanager gets alerts with the names and labels of `deploy/prometheus`, so that it groups both; any other
//! receiver gets the events themselves. An open alert has no `endsAt`: Alertmanager then counts its own
//! `resolve_timeout` from the last message, by its own clock, so the alert of a proxy that died ends by itself. With an
//! `endsAt` in the future, Alertmanager would ignore the end that a proxy whose clock is ahead reports.
//!
//! `outbox` holds the messages that wait to be sent, and `spread` tells when a proxy of many sends. Not here: the
//! sending.

mod message;
pub mod outbox;
pub mod spread;

pub use message::Message;

#[cfg(test)]
mod tests;
