//! Tests of `--logs URL`: real engines where they can be had, and a stub that answers as their documentation says.

#[path = "../../../tests/lab/src/skip.rs"]
mod skip;
#[path = "../support/mod.rs"]
mod support;

mod fleet;
mod log_dashboard;
mod loki;
mod open_search;
mod process;
mod refusals;
mod search_engine;
mod stub;
mod victoria_logs;
mod watch;
