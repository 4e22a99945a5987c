//! What people and their programs are told: events, a JSON line each on stdout, and metrics.

pub mod event;
pub mod metrics;
pub mod server;
