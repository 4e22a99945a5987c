//! The parts that the end-to-end tests and the demo are made of: a real Envoy, a real registry, scripted endpoints, load.
//!
//! Everything is plain threads and blocking sockets: a test reads from top to bottom, and nothing waits for a time, only for
//! a condition with [`SAFETY_NET`] behind it. Nothing here knows the filter's code: it is seen as an operator sees it, through
//! Envoy's log, its statistics and its admin interface.

use std::time::Duration;

pub mod alertmanager;
pub mod attempts;
pub mod authority;
pub mod bootstrap;
pub mod drill;
pub mod envoy;
pub mod events;
mod h2;
pub mod http;
pub mod judge;
pub mod load;
pub mod meaning;
pub mod outlier;
pub mod paint;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod prometheus_server;
pub mod publisher;
pub mod registry;
pub mod sources;
pub mod tags;
pub mod timestamp;
pub mod token_service;
pub mod tools;
pub mod topology;
pub mod upstream;
pub mod webhook;
pub mod zones;

/// How long anything is waited for before it counts as missing. Far above what a slow machine needs: it ends a hang, it
/// never decides a test.
pub const SAFETY_NET: Duration = Duration::from_secs(60);
