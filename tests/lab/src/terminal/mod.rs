//! What a person sees of the demo and the drills.

pub mod meaning;
pub mod paint;
