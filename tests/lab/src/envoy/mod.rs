//! A real Envoy: what it is configured with, the running process, and what it says about itself.

pub mod attempts;
pub mod bootstrap;
pub mod events;
pub mod metrics;
pub mod outlier;
pub mod proxy;
pub mod sources;
pub mod tags;
pub mod timestamp;
pub mod topology;
