//! Tests that need only the module and the harness: virtual time, every host call under control, no process besides the
//! test.

mod bounds;
mod harmless;
mod notify;
mod on_harness;
mod positions;
mod scenarios;
