//! Everything that leaves the filter: events, metrics and remarks, all through the [`reporter`].

mod log;
mod metrics;
pub(crate) mod remark;
pub(crate) mod reporter;
