//! What needs a real Envoy: charges, ejections, failovers, configuration, and what the publisher writes for Envoy.
//!
//! Each test has an Envoy of its own on ports of its own, so tests run side by side.

mod charges;
mod charging;
mod configuration;
mod deploy;
mod ejections;
mod endpoints;
mod failover;
mod loading;
mod manifests;
mod outage;
mod reload;
