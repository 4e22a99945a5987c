//! What an attempt counts as, decided as Envoy's router decides what to tell its outlier detector.
//!
//! Envoy charges an attempt in up to three steps, each to the endpoint that the attempt went to: the connection or
//! stream was had, the response headers came, something failed (reset or timeout). [`Charges`] are those steps;
//! [`crate::detector`] applies them. An attempt without an endpoint, a circuit breaker's overflow, a client that left
//! and a stream that was simply too long are charged to nobody.
//!
//! Source of the rules: Envoy's router (`router.cc`, `upstream_request.cc`) and outlier detector, 1.28 to 1.40.

use serde::{Deserialize, Serialize};

/// Envoy's response flags (`response.flags`), as the bits that the attribute holds. Appended to over the years, never
/// renumbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u64);

/// Names of the flags by bit, as access logs write them.
const FLAG_NAMES: [&str; 30] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX", "SI", "IH",
    "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

impl Flags {
    /// No healthy upstream.
    pub const UH: Self = Self(1 << 1);
    /// Upstream request timeout.
    pub const UT: Self = Self(1 << 2);
    /// Upstream connection failure.
    pub const UF: Self = Self(1 << 5);
    /// Upstream overflow: the circuit breaker.
    pub const UO: Self = Self(1 << 7);
    /// A try's idle timeout in the upstream log; the client's stream can be idle too.
    pub const SI: Self = Self(1 << 16);
    /// The longest duration of an upstream stream.
    pub const UMSDR: Self = Self(1 << 19);
    /// The client left.
    pub const DC: Self = Self(1 << 14);
    /// Flags of a stream that was reset on the upstream side: LR, UR, UF, UC, UPE, OM.
    pub const RESETS: Self = Self(1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 23 | 1 << 25);

    /// The same, and UT, with which a try's idle timeout shows itself.
    pub const RESETS_AND_TIMEOUTS: Self = Self(Self::RESETS.0 | Self::UT.0);

    /// Whether any of `other`'s flags is set.
    pub const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names joined by commas, empty when no flag is set; `UF,URX`.
    pub fn names(self) -> String {
        let set = FLAG_NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    }
}

/// What an attempt counts as: the label `outcome` of `faultline_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The endpoint answered, and not with a 5xx.
    Success,
    /// The endpoint answered with a 5xx other than 502, 503 and 504.
    Http5xx,
    /// The endpoint answered with 502, 503 or 504.
    GatewayError,
    /// No answer, or half of one: connection refused or lost, reset, timeout.
    LocalOrigin,
    /// Envoy charges the attempt to no endpoint.
    NotCharged,
}

impl Outcome {
    /// All of them, in the order of their numbers.
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

    /// Whether it is an error of the endpoint.
    pub const fn is_error(self) -> bool {
        matches!(self, Self::Http5xx | Self::GatewayError | Self::LocalOrigin)
    }
}

/// What Envoy tells its detector of one attempt, step by step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charges {
    /// The connection or stream was had (`LocalOriginConnectSuccess`); means something in split mode only.
    pub connected: bool,
    /// The status that the endpoint answered with (for gRPC, what its status stands for).
    pub status: Option<u16>,
    /// A reset or timeout, with the status it counts as when local failures are not split off: 503 or 504.
    pub failure: Option<u16>,
}

impl Charges {
    /// What a plain answer is charged as.
    pub const fn answered(status: u16) -> Self {
        Self { connected: true, status: Some(status), failure: None }
    }

    /// The label that sums the steps up: a failure outweighs the answer before it.
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

/// A finished attempt as a request's last one shows: the attributes that decide what it counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// An endpoint was chosen (`upstream.address` is there).
    pub has_endpoint: bool,
    /// A connection or stream was had (`upstream.local_address` is there).
    pub pool_ready: bool,
    /// `response.code`, absent when the client left before it was known.
    pub status: Option<u16>,
    /// `grpc-status` from the response headers of a gRPC call (a trailers-only answer); not from trailers, which
    /// Envoy does not charge.
    pub grpc_status: Option<u32>,
    /// `response.flags`.
    pub flags: Flags,
    /// `response.code_details`.
    pub details: &'a str,
}

/// Prefixes of the details of a timeout that Envoy charges: the route's, a try's, a try's idle one.
const TIMEOUTS: [&str; 4] = ["response_timeout", "upstream_response_timeout", "upstream_per_try_timeout", IDLE_TIMEOUT];

/// The details of a try's idle timeout, which Envoy charges even when the answer had begun.
pub const IDLE_TIMEOUT: &str = "upstream_per_try_idle_timeout";

impl Attempt<'_> {
    /// What Envoy charges for this attempt.
    pub fn charges(&self) -> Charges {
        let connected = self.pool_ready;
        let none = Charges { connected, status: None, failure: None };
        if !self.has_endpoint {
            return Charges::default();
        }
        if self.details == "via_upstream" {
            return Charges { connected: true, status: self.answer(), failure: None };
        }
        // Not by the flag, which is also set when a circuit breaker forbids another try after one that failed.
        if self.details.contains("{overflow") {
            return none;
        }
        if TIMEOUTS.iter().any(|timeout| self.details.starts_with(timeout)) {
            return match self.status {
                // A timeout while the connection was still awaited is charged to nobody.
                _ if !connected => none,
                // 204 stands for 504 where the request asked for it (x-envoy-upstream-rq-timeout-alt-response).
                None | Some(504 | 204) => Charges { failure: Some(self.status.unwrap_or(504)), ..none },
                Some(_) if self.details.starts_with(IDLE_TIMEOUT) => {
                    Charges { status: self.answer(), failure: Some(504), ..none }
                }
                // The answer had begun, so it was charged, and the timeout is not.
                Some(_) => Charges { status: self.answer(), ..none },
            };
        }
        if self.details.starts_with("upstream_reset_after_response_started") {
            return Charges { connected: true, status: self.answer(), failure: Some(503) };
        }
        if self.details.starts_with("upstream_reset_before_response_started") {
            return Charges { failure: Some(503), ..none };
        }
        match self.status {
            // The answer had begun and was charged; then the client left, or the stream lasted too long.
            Some(status) if connected && (status < 500 || self.flags.any_of(Flags::DC)) => {
                Charges { connected, status: self.answer(), failure: None }
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
            assert_eq!(answered.charges(), Charges::answered(status));
            assert_eq!(answered.charges().outcome(), outcome, "{status}");
        }
    }

    #[test]
    fn a_trailers_only_grpc_answer_is_charged_by_its_grpc_status() {
        let unavailable = Attempt { status: Some(200), grpc_status: Some(14), ..attempt("via_upstream") };
        assert_eq!(unavailable.charges().outcome(), Outcome::GatewayError);
        let fine = Attempt { status: Some(200), grpc_status: Some(0), ..attempt("via_upstream") };
        assert_eq!(fine.charges().outcome(), Outcome::Success);
    }

    #[test]
    fn failures_are_charged_with_or_without_the_connection_before_them() {
        let refused = Attempt {
            pool_ready: false,
            flags: Flags::UF,
            ..attempt("upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}")
        };
        assert_eq!(refused.charges(), Charges { connected: false, status: None, failure: Some(503) });
        let closed = attempt("upstream_reset_before_response_started{connection_termination}");
        assert_eq!(closed.charges(), Charges { connected: true, status: None, failure: Some(503) });
        let late = Attempt { status: Some(200), ..attempt("upstream_reset_after_response_started{protocol_error}") };
        assert_eq!(late.charges(), Charges { connected: true, status: Some(200), failure: Some(503) });
        assert_eq!(late.charges().outcome(), Outcome::LocalOrigin);
    }

    #[test]
    fn a_timeout_is_charged_only_after_the_connection_was_had() {
        let slow = Attempt { status: Some(504), flags: Flags::UT, ..attempt("response_timeout") };
        assert_eq!(slow.charges().failure, Some(504));
        let waiting = Attempt { pool_ready: false, ..slow };
        assert_eq!(waiting.charges().outcome(), Outcome::NotCharged);
        let renamed = Attempt { status: Some(204), ..slow };
        assert_eq!(renamed.charges().failure, Some(204), "x-envoy-upstream-rq-timeout-alt-response");
    }

    #[test]
    fn what_is_nobodys_fault_is_charged_to_nobody() {
        let retry_forbidden = Attempt {
            flags: Flags(Flags::UO.0 | Flags::UF.0),
            ..attempt("upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_111}")
        };
        assert_eq!(retry_forbidden.charges().outcome(), Outcome::LocalOrigin);
        let overflow = Attempt { flags: Flags::UO, ..attempt("upstream_reset_before_response_started{overflow}") };
        let no_host = Attempt { has_endpoint: false, flags: Flags::UH, ..attempt("no_healthy_upstream") };
        for nobody in [
            overflow,
            no_host,
            attempt("upstream_max_stream_duration_reached"),
            attempt("fault_filter_abort"),
            attempt(""),
        ] {
            assert_eq!(nobody.charges().outcome(), Outcome::NotCharged, "{nobody:?}");
        }
    }

    #[test]
    fn an_answer_that_had_begun_stays_charged_when_the_stream_is_cut_short() {
        let left = Attempt { status: Some(200), flags: Flags::DC, ..attempt("downstream_remote_disconnect") };
        assert_eq!(left.charges().outcome(), Outcome::Success);
        let left_early = Attempt { status: None, ..left };
        assert_eq!(left_early.charges().outcome(), Outcome::NotCharged);
        let left_an_error = Attempt { status: Some(503), ..left };
        assert_eq!(left_an_error.charges().outcome(), Outcome::GatewayError);
        let too_long = Attempt { status: Some(200), ..attempt("upstream_max_stream_duration_reached") };
        assert_eq!(too_long.charges().outcome(), Outcome::Success);
    }

    #[test]
    fn flags_are_named_as_access_logs_name_them() {
        assert_eq!(Flags(0x8020).names(), "UF,URX");
        assert_eq!(Flags(0).names(), "");
        assert_eq!(Flags(u64::MAX).names().split(',').count(), FLAG_NAMES.len());
    }
}
