//! The parts that the end-to-end tests and the demo are made of: a real Envoy, a real registry, scripted endpoints, load.
//!
//! Everything is plain threads and blocking sockets: a test reads from top to bottom, and nothing waits for a time, only for
//! a condition with [`SAFETY_NET`] behind it. Nothing here knows the filter's code: it is seen as an operator sees it, through
//! Envoy's log, its statistics and its admin interface.

use std::time::Duration;

pub mod attempts;
pub mod bootstrap;
pub mod envoy;
pub mod events;
pub mod http;
pub mod judge;
pub mod load;
pub mod outlier;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod publisher;
pub mod registry;
pub mod timestamp;
pub mod tools;
pub mod topology;
pub mod upstream;
pub mod zones;

/// How long anything is waited for before it counts as missing. Far above what a slow machine needs: it ends a hang, it
/// never decides a test.
pub const SAFETY_NET: Duration = Duration::from_secs(60);
