//! What is known of one request: its messages, and its attributes with the phase from which Envoy provides them.
//!
//! Plain data: `stream_info` fills it for each kind of ending, `Exchange` is its public interface, and `state` shows it
//! to the module.

use crate::abi::Pairs;
use crate::properties::{Facts, Phase};
use crate::value::Value;

/// The response that the client gets.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<Vec<u8>>,
    pub(crate) trailers: Option<Pairs>,
    /// Whether the end of the stream was reached; false after a reset.
    pub(crate) complete: bool,
}

/// One request, its answer and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeData {
    pub(crate) request_headers: Pairs,
    pub(crate) request_body: Vec<Vec<u8>>,
    pub(crate) request_trailers: Option<Pairs>,
    pub(crate) response: Option<Response>,
    pub(crate) facts: Facts,
    /// `response.flags` from the response headers on.
    pub(crate) flags: i64,
    /// Flags that appear only in the log phase.
    pub(crate) late_flags: i64,
    /// `response.flags` in the router's upstream log.
    pub(crate) attempt_flags: i64,
    /// Whether the response came from the endpoint, not from Envoy.
    pub(crate) upstream_answered: bool,
}

/// How the request reached an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// The request ended before there was a connection.
    None,
    /// The connection failed.
    Failed,
    /// The request was sent.
    Ready,
}

impl ExchangeData {
    /// Gives an attribute a value from a phase on.
    pub(crate) fn set(&mut self, from: Phase, path: &str, value: impl Into<Value>) {
        self.facts.set(from, path, Some(value.into()));
    }

    /// Removes an attribute in every phase.
    pub(crate) fn remove(&mut self, path: &str) {
        self.facts.set(Phase::RequestHeaders, path, None);
    }

    /// Writes the flags as attributes, including those of the log phase.
    pub(crate) fn set_flags(&mut self) {
        let (flags, late) = (self.flags, self.late_flags);
        self.set(Phase::ResponseHeaders, "response.flags", flags);
        self.set(Phase::Log, "response.flags", flags | late);
    }
}
