//! What needs a real Envoy: what attempts count as, ejections, failovers, configuration, and what the publisher writes
//! for Envoy.
//!
//! Each test has an Envoy of its own on ports of its own, so tests run side by side.

mod configuration;
mod deploy;
mod detector_input;
mod ejections;
mod endpoints;
mod failover;
mod loading;
mod manifests;
mod outage;
mod readout;
mod reload;
