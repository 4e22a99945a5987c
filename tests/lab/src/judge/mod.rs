//! Envoy as the judge of the filter: random outages from a seed, and a comparison of the filter's ejections, returns
//! and removals with the outlier detector's own record, and of its failovers with Envoy's hosts and the endpoints'
//! requests.
//!
//! A round is one Envoy with a random set-up and a random script of outages and of what the control plane does, steady
//! traffic, and a comparison at the end. What makes a set-up more than the plain one are its [`Ingredient`]s, and the
//! table has a line for each. The same seed gives the same set-up and the same script; the interleaving of threads
//! differs, so a rare disagreement may take several runs of its seed to appear again.
//!
//! Not here: single situations with one right answer; these have separate tests.

pub mod compare;
pub mod complaints;
mod failover;
mod ingredient;
mod mode;
mod observe;
pub mod picture;
mod removals;
pub mod round;
mod same_tick;
pub mod scene;
pub mod script;
pub mod service;
mod short_return;
mod simultaneous;
mod stage;
pub mod table;
pub mod traffic;
mod trial;

pub use ingredient::Ingredient;
pub use mode::Mode;
pub use trial::Trial;
