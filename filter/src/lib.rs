//! faultline's filter: a proxy-wasm plugin that watches finished requests and reports failing endpoints, ejections and
//! failovers. It only watches: every callback lets the request continue.
//!
//! An attempt goes down through the layers and never turns back: [`abi`] (what Envoy calls) → `callbacks` (what each
//! callback leads to) → `vm` (the state of one VM) → `output` (the only way out) → `shared` (what all workers know) →
//! `host` (Envoy). A file imports only what lies below it. What the observations mean is decided in `filter-core`.

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
mod callbacks;
mod host;
mod output;
mod shared;
mod vm;
