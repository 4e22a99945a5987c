//! What an operator watches Envoy with: a real Prometheus, a real Alertmanager, and the pager behind it.

pub mod alertmanager;
pub mod prometheus;
pub mod webhook;
