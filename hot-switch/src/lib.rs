//! hot-switch takes a pod's traffic past its dead sidecar, and back when the sidecar is well.
//!
//! What it decides is in the package `hot-switch-core`; here is what it does. A module uses only those before it:
//! names, kernel, probe, stand_in, told, pods, cluster, check, agent, controller, commands, cli.

pub mod agent;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod controller;
pub mod kernel;
pub mod names;
pub mod pods;
pub mod probe;
pub mod stand_in;
pub mod told;
