//! What is known of one request: its messages, and the attributes Envoy serves about it from which phase on.
//!
//! Plain data. `stream_info` fills it for each kind of ending, `Exchange` is its public face, `state` shows it to the
//! module.

use crate::abi::Pairs;
use crate::properties::{Facts, Phase};
use crate::value::Value;

/// The response as the client gets it.
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
    /// Flags that come with the log only.
    pub(crate) late_flags: i64,
    /// `response.flags` in the router's upstream log.
    pub(crate) attempt_flags: i64,
    /// Whether the response came from the endpoint, not from Envoy.
    pub(crate) upstream_answered: bool,
}

/// How the request reached an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// There was no connection yet when it ended.
    None,
    /// The connection could not be made.
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

    /// Writes the flags as attributes, those of the log included.
    pub(crate) fn set_flags(&mut self) {
        let (flags, late) = (self.flags, self.late_flags);
        self.set(Phase::ResponseHeaders, "response.flags", flags);
        self.set(Phase::Log, "response.flags", flags | late);
    }
}
