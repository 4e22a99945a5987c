//! A cluster's story from attempts and answers to events, on the pure core.

mod story;
mod traffic;
mod witnessed;
