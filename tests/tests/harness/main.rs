//! Tests that need only the module and the harness: virtual time, every host call under control, no process besides the
//! test.

mod admin;
mod bad_answers;
mod balancer;
mod bounds;
mod configurations;
mod departures;
mod floods;
mod harmless;
mod home;
mod notify;
mod on_harness;
mod positions;
mod scenarios;
mod stage;
mod witness;
