//! The way between agents and controller, and from agents to people: a Lease for each node, in hot-switch's own
//! namespace, and Events. [`live`] reads a mesh.
//!
//! The Lease is the agent's heartbeat; one annotation has what the agent wants, another what the controller says to it.
//! So there is no connection between the two, nobody else has to be trusted, and who asked for what can be read by
//! anybody who may read Leases. Without an API server nobody can consent.

pub mod lease;
pub mod live;
pub mod notices;
pub mod words;
