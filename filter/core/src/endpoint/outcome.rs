//! How an attempt counts, decided as Envoy's router decides what to report to its outlier detector.
//!
//! Envoy charges an attempt to its endpoint in up to three steps: the connection or stream is established, the response
//! headers arrive, something fails (reset or timeout). [`DetectorInput`] holds those steps, as Envoy's `putResult` gets
//! them, and [`super::detector`] applies them. Attempts without an endpoint, circuit breaker overflows, clients that
//! disconnect and streams that exceed their maximum duration are charged to no endpoint.
//!
//! Source of the rules: Envoy's router (`router.cc`, `upstream_request.cc`) and outlier detector, 1.28 to 1.40.

use super::response_flags::ResponseFlags;
use crate::encoded;

/// How an attempt counts: the label `outcome` of `faultline_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The endpoint answered with anything but a 5xx.
    Success,
    /// The endpoint answered with a 5xx other than 502, 503 and 504.
    Http5xx,
    /// The endpoint answered with 502, 503 or 504.
    GatewayError,
    /// No answer or an incomplete one: connection refused or lost, reset, timeout.
    LocalOrigin,
    /// Envoy charges the attempt to no endpoint.
    NotCharged,
}

encoded!(enum Outcome { 0 => Success, 1 => Http5xx, 2 => GatewayError, 3 => LocalOrigin, 4 => NotCharged });

impl Outcome {
    /// All outcomes, in the order of their encoding.
    pub const ALL: [Self; 5] = [Self::Success, Self::Http5xx, Self::GatewayError, Self::LocalOrigin, Self::NotCharged];

    /// The outcome as metrics and documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Http5xx => "5xx",
            Self::GatewayError => "gateway_error",
            Self::LocalOrigin => "local_origin",
            Self::NotCharged => "not_charged",
        }
    }

    /// Whether the endpoint failed the attempt.
    pub const fn is_error(self) -> bool {
        matches!(self, Self::Http5xx | Self::GatewayError | Self::LocalOrigin)
    }
}

/// What Envoy reports to its detector for one attempt, step by step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectorInput {
    /// The connection or stream was established (`LocalOriginConnectSuccess`); it matters in split mode only.
    pub connected: bool,
    /// The HTTP status of the answer (for gRPC, the HTTP status that its gRPC status maps to).
    pub status: Option<u16>,
    /// A reset or timeout, with the status that it counts as outside split mode: 503 or 504.
    pub failure: Option<u16>,
}

impl DetectorInput {
    /// The input for a complete answer with `status`.
    pub const fn answered(status: u16) -> Self {
        Self { connected: true, status: Some(status), failure: None }
    }

    /// The single outcome of all steps: a failure outweighs the answer before it.
    pub const fn outcome(&self) -> Outcome {
        match (self.failure, self.status) {
            (Some(_), _) => Outcome::LocalOrigin,
            (None, Some(502..=504)) => Outcome::GatewayError,
            (None, Some(500..=599)) => Outcome::Http5xx,
            (None, Some(_)) => Outcome::Success,
            (None, None) => Outcome::NotCharged,
        }
    }
}

/// The attributes of a finished attempt that decide its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// An endpoint was chosen: `upstream.address` is present.
    pub has_endpoint: bool,
    /// A connection or stream was established: `upstream.local_address` is present.
    pub pool_ready: bool,
    /// `response.code`; absent when the client disconnected before it was known.
    pub status: Option<u16>,
    /// `grpc-status` from the response headers of a gRPC call (a trailers-only answer); not from trailers, which
    /// Envoy does not charge.
    pub grpc_status: Option<u32>,
    /// `response.flags`.
    pub flags: ResponseFlags,
    /// `response.code_details`.
    pub details: &'a str,
}

/// Prefixes of the details of a timeout that Envoy charges: of the route, of a try, and of a try that is idle.
const TIMEOUTS: [&str; 4] = ["response_timeout", "upstream_response_timeout", "upstream_per_try_timeout", IDLE_TIMEOUT];

/// The details of a try's idle timeout, which Envoy charges even if the answer had started.
pub const IDLE_TIMEOUT: &str = "upstream_per_try_idle_timeout";

impl Attempt<'_> {
    /// What Envoy's router reports to the outlier detector for this attempt.
    pub fn detector_input(&self) -> DetectorInput {
        let connected = self.pool_ready;
        let none = DetectorInput { connected, status: None, failure: None };
        if !self.has_endpoint {
            return DetectorInput::default();
        }
        if self.details == "via_upstream" {
            return DetectorInput { connected: true, status: self.answer(), failure: None };
        }
        // The UO flag is not enough: it is also set when a circuit breaker refuses the retry of a failed attempt.
        if self.details.split('{').skip(1).any(|part| part.starts_with("overflow")) {
            return none;
        }
        if TIMEOUTS.iter().any(|timeout| self.details.starts_with(timeout)) {
            return match self.status {
                // A timeout while the connection is still pending is charged to no endpoint.
                _ if !connected => none,
                // 204 stands for 504 if the request asked for it (x-envoy-upstream-rq-timeout-alt-response).
                None | Some(504 | 204) => DetectorInput { failure: Some(self.status.unwrap_or(504)), ..none },
                Some(_) if self.details.starts_with(IDLE_TIMEOUT) => {
                    DetectorInput { status: self.answer(), failure: Some(504), ..none }
                }
                // The answer had started, so Envoy charges the answer and not the timeout.
                Some(_) => DetectorInput { status: self.answer(), ..none },
            };
        }
        if self.details.starts_with("upstream_reset_after_response_started") {
            return DetectorInput { connected: true, status: self.answer(), failure: Some(503) };
        }
        if self.details.starts_with("upstream_reset_before_response_started") {
            return DetectorInput { failure: Some(503), ..none };
        }
        match self.status {
            // The answer had started, so Envoy charges it; then the client disconnected or the stream exceeded its
            // duration.
            Some(status) if connected && (status < 500 || self.flags.any_of(ResponseFlags::DC)) => {
                DetectorInput { connected, status: self.answer(), failure: None }
            }
            _ => none,
        }
    }

    fn answer(&self) -> Option<u16> {
        match self.grpc_status {
            Some(status) => Some(http_status_of_grpc(status)),
            None => self.status,
        }
    }
}

/// The HTTP status that Envoy charges for a gRPC status.
pub const fn http_status_of_grpc(status: u32) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(details: &str) -> Attempt<'_> {
        Attempt { has_endpoint: true, pool_ready: true, status: Some(503), details, ..Attempt::default() }
    }

    #[test]
    fn an_answer_is_charged_by_its_status() {
        for (status, outcome) in [
            (200, Outcome::Success),
            (404, Outcome::Success),
            (500, Outcome::Http5xx),
            (501, Outcome::Http5xx),
            (502, Outcome::GatewayError),
            (504, Outcome::GatewayError),
            (600, Outcome::Success),
        ] {
            let answered = Attempt { status: Some(status), ..attempt("via_upstream") };
            assert_eq!(answered.detector_input(), DetectorInput::answered(status));
            assert_eq!(answered.detector_input().outcome(), outcome, "{status}");
        }
    }

    #[test]
    fn a_trailers_only_grpc_answer_is_charged_by_its_grpc_status() {
        let unavailable = Attempt { status: Some(200), grpc_status: Some(14), ..attempt("via_upstream") };
        assert_eq!(unavailable.detector_input().outcome(), Outcome::GatewayError);
        let fine = Attempt { status: Some(200), grpc_status: Some(0), ..attempt("via_upstream") };
        assert_eq!(fine.detector_input().outcome(), Outcome::Success);
    }

    #[test]
    fn failures_are_charged_with_or_without_the_connection_before_them() {
        let refused = Attempt {
            pool_ready: false,
            flags: ResponseFlags::UF,
            ..attempt("upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}")
        };
        assert_eq!(refused.detector_input(), DetectorInput { connected: false, status: None, failure: Some(503) });
        let closed = attempt("upstream_reset_before_response_started{connection_termination}");
        assert_eq!(closed.detector_input(), DetectorInput { connected: true, status: None, failure: Some(503) });
        let late = Attempt { status: Some(200), ..attempt("upstream_reset_after_response_started{protocol_error}") };
        assert_eq!(late.detector_input(), DetectorInput { connected: true, status: Some(200), failure: Some(503) });
        assert_eq!(late.detector_input().outcome(), Outcome::LocalOrigin);
    }

    #[test]
    fn a_timeout_is_charged_only_after_the_connection_was_had() {
        let slow = Attempt { status: Some(504), flags: ResponseFlags::UT, ..attempt("response_timeout") };
        assert_eq!(slow.detector_input().failure, Some(504));
        let waiting = Attempt { pool_ready: false, ..slow };
        assert_eq!(waiting.detector_input().outcome(), Outcome::NotCharged);
        let renamed = Attempt { status: Some(204), ..slow };
        assert_eq!(renamed.detector_input().failure, Some(204), "x-envoy-upstream-rq-timeout-alt-response");
    }

    #[test]
    fn what_is_nobodys_fault_is_charged_to_nobody() {
        let retry_forbidden = Attempt {
            flags: ResponseFlags(ResponseFlags::UO.0 | ResponseFlags::UF.0),
            ..attempt("upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}")
        };
        assert_eq!(retry_forbidden.detector_input().outcome(), Outcome::LocalOrigin);
        let overflow =
            Attempt { flags: ResponseFlags::UO, ..attempt("upstream_reset_before_response_started{overflow}") };
        let no_host = Attempt { has_endpoint: false, flags: ResponseFlags::UH, ..attempt("no_healthy_upstream") };
        for nobody in [
            overflow,
            no_host,
            attempt("upstream_max_stream_duration_reached"),
            attempt("fault_filter_abort"),
            attempt(""),
        ] {
            assert_eq!(nobody.detector_input().outcome(), Outcome::NotCharged, "{nobody:?}");
        }
    }

    #[test]
    fn an_answer_that_had_begun_stays_charged_when_the_stream_is_cut_short() {
        let left = Attempt { status: Some(200), flags: ResponseFlags::DC, ..attempt("downstream_remote_disconnect") };
        assert_eq!(left.detector_input().outcome(), Outcome::Success);
        let left_early = Attempt { status: None, ..left };
        assert_eq!(left_early.detector_input().outcome(), Outcome::NotCharged);
        let left_an_error = Attempt { status: Some(503), ..left };
        assert_eq!(left_an_error.detector_input().outcome(), Outcome::GatewayError);
        let too_long = Attempt { status: Some(200), ..attempt("upstream_max_stream_duration_reached") };
        assert_eq!(too_long.detector_input().outcome(), Outcome::Success);
    }
}
