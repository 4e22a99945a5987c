//! The attributes of a request that is not known to be healthy, and what Envoy charges for it.
//!
//! `filter-core` decides what is charged for a request's last attempt. Here is only what differs in the router's
//! upstream log, which shows an attempt by its flags.

use super::calls;
use super::exchange::{attempt_count, flags, number, text, trailers_only_grpc_status};
use filter_core::endpoint::outcome::{Attempt, DetectorInput, http_status_of_grpc};
use filter_core::endpoint::response_flags::ResponseFlags;
use filter_core::event::LastAttempt;

/// Whether the response consists of headers only, like a gRPC error that the server returns at once; a gRPC status in
/// the headers is then the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    HeadersOnly,
    Streamed,
}

/// The attributes of a request, or of an attempt in the upstream log.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestAttributes {
    pool_ready: bool,
    status: Option<u16>,
    grpc_status: Option<u32>,
    flags: ResponseFlags,
    details: String,
    transport_failure: String,
    /// How many attempts the request took; 0 if there was none, or if the number is not known.
    attempts: u64,
}

impl RequestAttributes {
    /// Reads the current request.
    pub(crate) fn read(response: Response) -> Self {
        let status = number(b"response\0code").and_then(|code| u16::try_from(code).ok()).filter(|code| *code > 0);
        Self {
            pool_ready: calls::property(b"upstream\0local_address").is_ok_and(|address| !address.is_empty()),
            status,
            grpc_status: match response {
                Response::HeadersOnly => trailers_only_grpc_status(),
                Response::Streamed => None,
            },
            flags: flags(),
            details: text(b"response\0code_details"),
            transport_failure: text(b"upstream\0transport_failure_reason"),
            attempts: attempt_count(),
        }
    }

    /// Whether the request took more than one attempt.
    pub(crate) fn is_retried(&self) -> bool {
        self.attempts > 1
    }

    /// What Envoy charges for the request's last attempt, which went to an endpoint.
    pub(crate) fn detector_input(&self) -> DetectorInput {
        let attempt = Attempt {
            has_endpoint: true,
            pool_ready: self.pool_ready,
            status: self.status,
            grpc_status: self.grpc_status,
            flags: self.flags,
            details: &self.details,
        };
        attempt.detector_input()
    }

    /// What Envoy charges for an attempt in the upstream log, as far as the log shows it.
    pub(crate) fn input_in_upstream_log(&self) -> DetectorInput {
        let connected = self.pool_ready;
        let none = DetectorInput { connected, status: None, failure: None };
        let status = self.grpc_status.map(http_status_of_grpc).or(self.status);
        if self.flags.any_of(ResponseFlags::UO) {
            none
        } else if self.is_try_timeout() {
            // A timeout before there was a connection is charged to no endpoint.
            DetectorInput { failure: connected.then_some(504), status, ..none }
        } else if self.flags.any_of(ResponseFlags::RESETS) {
            DetectorInput { connected: connected || status.is_some(), status, failure: Some(503) }
        } else {
            status.map_or(none, DetectorInput::answered)
        }
    }

    /// Whether the upstream log leaves open how the attempt ended: the route's timeout and a client that left look the
    /// same there.
    pub(crate) fn has_unknown_end(&self) -> bool {
        let is_known =
            self.flags.any_of(ResponseFlags::UO) || self.flags.any_of(ResponseFlags::RESETS) || self.is_try_timeout();
        !is_known && self.status.is_none()
    }

    /// Whether, according to the upstream log, a try's own timeout ended it.
    pub(crate) fn is_try_timeout(&self) -> bool {
        self.flags.any_of(ResponseFlags::UT) || self.flags.any_of(ResponseFlags::SI)
    }

    /// What Envoy charges for the answer whose headers pass; `None` if no endpoint gave it.
    pub(crate) fn answer_input(&self) -> Option<DetectorInput> {
        let status = self.grpc_status.map(http_status_of_grpc).or(self.status)?;
        (self.details == "via_upstream").then(|| DetectorInput::answered(status))
    }

    /// Whether the route's timeout ended the request before there was an answer, which Envoy charges.
    pub(crate) fn is_route_timeout(&self) -> bool {
        matches!(self.details.as_str(), "response_timeout" | "upstream_response_timeout")
    }

    /// Whether the request ended in a way that the upstream log does not show.
    pub(crate) fn ended_unseen_by_upstream_log(&self) -> bool {
        const ENDS: [&str; 3] =
            ["downstream_remote_disconnect", "upstream_max_stream_duration", "max_duration_timeout"];
        self.is_route_timeout() || ENDS.iter().any(|end| self.details.starts_with(end))
    }

    /// Whether Envoy found no healthy endpoint.
    pub(crate) fn found_no_healthy_upstream(&self) -> bool {
        self.flags.any_of(ResponseFlags::UH)
    }

    /// The last attempt as events show it.
    pub(crate) fn last_attempt(&self) -> LastAttempt {
        LastAttempt {
            code: self.status,
            flags: self.flags.names(),
            details: self.details.clone(),
            transport_failure: self.transport_failure.clone(),
        }
    }
}
