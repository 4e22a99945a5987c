//! A file for each subcommand: its options, and its run.

pub mod agent;
pub mod by_hand;
pub mod check;
pub mod completions;
pub mod controller;
pub mod man;
pub mod outcome;
pub mod stand_in;
pub mod status;
