//! The decisions under virtual time: stories with one pod, and random failures of everything with what must always
//! hold.

mod random;
mod stories;
mod world;
