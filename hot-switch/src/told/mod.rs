//! What people and their programs are told: events, a JSON line each on stdout, what Kubernetes Events say of them, and
//! metrics.

pub mod event;
pub mod metrics;
pub mod notice;
pub mod server;
