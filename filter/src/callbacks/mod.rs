//! What each callback does, one file for each. These files do not import each other; what several of them need is in
//! [`crate::vm`].

pub(crate) mod configure;
pub(crate) mod heartbeat;
pub(crate) mod notify;
pub(crate) mod requests;
pub(crate) mod upstream_log;
pub(crate) mod witness;
