//! Tests that need a real Envoy: what attempts count as, ejections, failovers, configuration, and what the publisher
//! writes for Envoy.
//!
//! Each test starts its own Envoy on its own ports, so tests run in parallel.

mod configuration;
mod decided;
mod departures;
mod deploy;
mod detector_input;
mod ejections;
mod endpoints;
mod failover;
mod home;
mod large_mesh;
mod loading;
mod manifests;
mod outage;
mod readout;
mod reload;
mod several_configurations;
mod witness;
