//! What the demo, the drills, the judge and the end-to-end tests are made of: a real Envoy, a real registry, real
//! monitoring, scripted endpoints and load.
//!
//! Everything is plain threads and blocking sockets, so a test reads from top to bottom. Nothing waits for a time, only
//! for a condition, with [`wait::SAFETY_NET`] behind it. Nothing here knows the filter's code: the filter is seen as an
//! operator sees it, through Envoy's log, statistics and admin interface.

pub mod drill;
pub mod endpoints;
pub mod envoy;
pub mod judge;
pub mod monitoring;
pub mod net;
pub mod programs;
pub mod registry;
pub mod skip;
pub mod terminal;
pub mod wait;
pub mod zones;
