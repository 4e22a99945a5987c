//! A file for each subcommand: its options, and its run.

pub mod outcome;
