//! An operator's monitoring of Envoy: a real Prometheus, a real Alertmanager, and the pager that it notifies.

pub mod alertmanager;
pub mod prometheus;
pub mod webhook;
