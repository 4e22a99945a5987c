//! The building blocks of the demo, the drills, the judge and the end-to-end tests: a real Envoy, a real registry, real
//! monitoring, scripted endpoints and load.
//!
//! Everything uses plain threads and blocking sockets, so that a test reads from top to bottom. Nothing waits for a
//! fixed time, only for a condition, with [`wait::SAFETY_NET`] as the limit. Nothing here uses the filter's code: it
//! sees the filter as an operator does, through Envoy's log, statistics and admin interface.

pub mod drill;
pub mod endpoints;
pub mod envoy;
pub mod istio;
pub mod judge;
pub mod monitoring;
pub mod net;
pub mod programs;
pub mod registry;
pub mod rules_judge;
pub mod skip;
pub mod terminal;
pub mod wait;
pub mod zones;
