//! What each callback leads to, a file for each. No file here knows another: what two of them need lies below, in
//! [`crate::vm`].

pub(crate) mod configure;
pub(crate) mod heartbeat;
pub(crate) mod notify;
pub(crate) mod requests;
pub(crate) mod upstream_log;
pub(crate) mod witness;
