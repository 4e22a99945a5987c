//! Tests of one cluster, from attempts and answers to events.

mod attempts;
mod ejection_counts;
mod failovers;
mod host_list;
mod story;
mod unseen_ejections;
mod unseen_successes;
mod world;
