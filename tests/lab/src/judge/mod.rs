//! Envoy as the judge of the filter: random outages from a seed, and a comparison of the filter's ejections and returns
//! with the outlier detector's own record.
//!
//! A round is one Envoy with a random set-up and a random script of outages, steady traffic, and a comparison at the
//! end. The same seed gives the same set-up and the same script; the interleaving of threads differs, so a rare
//! disagreement may take several runs of its seed to appear again.
//!
//! Not here: single situations with one right answer; these have separate tests.

pub mod compare;
pub mod complaints;
mod mode;
pub mod picture;
pub mod round;
pub mod scene;
pub mod table;
pub mod traffic;
mod trial;

pub use mode::Mode;
pub use trial::Trial;
