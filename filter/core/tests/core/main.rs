//! The pure core from outside: the detector and failovers step by step, and a cluster's story from attempts and answers
//! to events.

mod cluster;
mod detector;
mod envoys_detector;
mod failover;
