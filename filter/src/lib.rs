//! faultline's filter: a proxy-wasm plugin that watches finished requests and reports failing endpoints, ejections and
//! failovers. It only watches: every callback lets the request continue.
//!
//! An attempt passes down through the layers and never back up: [`abi`] (what Envoy calls) → `callbacks` (what each
//! callback does) → `vm` (the state of one VM) → `output` (events, metrics and remarks) → `shared` (what all workers
//! know) → `host` (Envoy). A file imports only from layers below it. `filter-core` decides what the observations mean.

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
