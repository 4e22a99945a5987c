//! A cluster's story from attempts and answers to events.

mod attempts;
mod ejection_counts;
mod host_list;
mod story;
