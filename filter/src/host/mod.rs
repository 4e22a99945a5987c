//! Everything that is read from Envoy or done through it. Below this layer is only the ABI.
//!
//! [`calls`] makes the host's functions safe. [`exchange`], [`request_attributes`], [`expression`] and
//! [`call_response`] use it to read what Envoy knows about an exchange. Not here: what follows from that.

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
