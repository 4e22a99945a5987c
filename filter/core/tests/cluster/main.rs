//! A cluster's story from attempts and answers to events, on the pure core.

mod counted;
mod story;
mod traffic;
mod witnessed;
