//! One worker's VM: what it knows and waits for, and the work that several callbacks share.
//!
//! All root contexts of a VM (listeners, directions, an access logger) share one [`state::Vm`], the latest
//! configuration, and one heartbeat. [`charging`], [`asking`] and [`notifying`] act on it; the other files are its
//! parts.

mod admin_paths;
mod agenda;
pub(crate) mod answered;
pub(crate) mod asking;
pub(crate) mod charging;
pub(crate) mod home;
mod index;
pub(crate) mod known;
pub(crate) mod notice;
pub(crate) mod notifying;
pub(crate) mod pending;
pub(crate) mod roots;
pub(crate) mod sampling;
pub(crate) mod state;
pub(crate) mod tick;
pub(crate) mod twins;
