//! Asking a pod, from inside its network namespace: the proxy by its three ports, the application by its own probes.

pub mod app;
pub mod http;
pub mod round;
