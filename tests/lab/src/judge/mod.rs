//! Envoy as the judge of the filter: random outages from a seed, and the filter's ejections and returns against the
//! outlier detector's own record of what it did.
//!
//! A round is one Envoy with a random set-up and a random script of outages, steady traffic, and a comparison when all
//! is over. The same seed gives the same set-up and the same script; the interleaving of threads differs, so a rare
//! disagreement may take several runs of its seed to show again.
//!
//! Not here: single situations with one right answer; those are tests of their own.

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
