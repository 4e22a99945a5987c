//! The OCI artifact: packs a module into a form that consumers read, reads such images as Istio does, and decides which
//! consumers would load them.

pub(crate) mod archive;
pub(crate) mod cache;
pub(crate) mod consumers;
pub(crate) mod form;
pub(crate) mod pack;
