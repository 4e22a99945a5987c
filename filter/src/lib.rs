//! faultline's filter: a proxy-wasm plugin that watches finished requests and reports failing endpoints, ejections and
//! failovers. It only watches: every callback lets the request continue.
//!
//! Reading order: [`abi`] (what Envoy calls), [`plugin`] (the state of a VM), [`known`] (what this VM has met),
//! [`request`] (reading an exchange), [`traffic`] (what a finished request leads to), [`attempts`] (each attempt), [`heartbeat`] (what time leads to), [`witness`] (asking Envoy), [`notify`] (telling a receiver), [`shared`] (what all workers
//! know together), [`report`] (events and metrics going out), [`host`] (the only file that calls Envoy).
//!
//! What the observations mean is decided in `filter-core`.

#![cfg_attr(
    not(test),
    deny(
        // Nothing reachable from traffic, configuration or admin answers may trap the VM (invariant 4).
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

pub mod abi;
pub mod attempts;
pub mod heartbeat;
pub mod host;
pub mod known;
pub mod notify;
pub mod plugin;
pub mod report;
pub mod request;
pub mod shared;
pub mod traffic;
pub mod witness;
