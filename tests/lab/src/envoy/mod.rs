//! A real Envoy: its configuration, its process, and its logs and statistics.

pub mod attempts;
pub mod bootstrap;
pub mod edit;
pub mod events;
pub mod kinds;
pub mod metrics;
pub mod outlier;
pub mod proxy;
pub mod sources;
pub mod tags;
pub mod timestamp;
pub mod topology;
