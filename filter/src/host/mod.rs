//! Everything that is read from Envoy or done through it: the layer below which there is only the ABI.
//!
//! [`calls`] makes the host's functions safe; [`exchange`], [`request_attributes`], [`expression`] and
//! [`call_response`] read what Envoy knows of an exchange through them. Not here: what follows from it.

pub(crate) mod call_response;
mod calls;
mod envoy_imports;
pub(crate) mod exchange;
pub(crate) mod expression;
pub(crate) mod request_attributes;

pub(crate) use calls::{
    Buffer, LogLevel, MetricKind, Status, buffer, define_metric, get, in_context, increment_metric, log, metric, now,
    now_micros, post, record_metric, set_shared_data, set_tick_period, shared_data,
};
