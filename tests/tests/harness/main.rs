//! What needs the module and the harness only: virtual time, every host call under control, no process beside the test.

mod bounds;
mod harmless;
mod notify;
mod on_harness;
mod positions;
mod scenarios;
