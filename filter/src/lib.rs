//! faultline's filter: a proxy-wasm plugin that watches finished requests and reports failing endpoints, ejections and
//! failovers. It only watches: every callback lets the request continue.
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
pub mod callbacks {
    //! What each callback leads to.
    pub mod heartbeat;
    pub mod notify;
    pub mod requests;
    pub mod upstream_log;
    pub mod witness;
}
pub mod host;
pub mod output {
    //! What goes out.
    pub mod reporter;
}
pub mod shared;
pub mod vm;
