//! Everything that leaves the filter: events, metrics and remarks, all through the [`reporter`].

mod metrics;
pub(crate) mod remark;
pub(crate) mod reporter;
