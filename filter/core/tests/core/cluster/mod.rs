//! Tests of one cluster, from attempts and answers to events.

mod attempts;
mod ejection_counts;
mod host_list;
mod story;
