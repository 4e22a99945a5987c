//! The network layer: ports, HTTP, names and certificates, on loopback addresses only.

pub mod authority;
pub mod dns;
pub(crate) mod h2;
pub mod http;
pub mod load;
pub mod ports;
pub mod relay;
