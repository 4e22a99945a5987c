//! The only way out: events, metrics and the filter's own remarks leave through the [`reporter`].

mod log;
mod metrics;
pub(crate) mod remark;
pub(crate) mod reporter;
