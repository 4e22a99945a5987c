//! Logs, in every form that people have them in: whole, as a list of events by proxy, or followed as they grow.

pub(crate) mod event;
pub(crate) mod follow;
pub(crate) mod input;
pub(crate) mod line;
