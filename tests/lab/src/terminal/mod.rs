//! Terminal output of the demo and the drills.

pub mod meaning;
pub mod paint;
