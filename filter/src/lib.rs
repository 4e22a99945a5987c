//! faultline's filter: a proxy-wasm plugin that watches finished requests and reports failing endpoints, ejections and
//! failovers. It only watches: every callback lets the request continue.
//!
//! Reading order: [`abi`] (what Envoy calls), [`plugin`] (the state of a VM), [`known`] (what this VM has met),
//! [`request`] (reading an exchange), [`traffic`] (what a finished request leads to), [`attempts`] (each attempt), [`heartbeat`] (what time leads to), [`witness`] (asking Envoy), [`notify`] (telling a receiver), [`shared`] (what all workers
//! know together), [`report`] (events and metrics going out), [`host`] (the only file that calls Envoy).
//!
//! What the observations mean is decided in `filter-core`.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable,
        reason = "a test may fail by a panic, and clippy.toml has no setting for these"
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
