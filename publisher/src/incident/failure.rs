//! How an attempt failed, concluded once from Envoy's flags and details; the words and the advice both come from it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::logs::event::Last;

/// How an attempt failed, as far as Envoy tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing listens at the address.
    ConnectionRefused,
    /// The two sides do not agree on TLS.
    TlsHandshake,
    /// The network does not lead there.
    NoRoute,
    /// The connection was not established in time (`UF` with a time-out).
    ConnectTimeout,
    /// The connection was not established, for another reason (`UF`).
    ConnectFailed,
    /// The request's time-out passed (`UT`).
    NoAnswer,
    /// The endpoint closed the connection (`UC`).
    ConnectionClosed,
    /// The endpoint reset the stream (`UR`).
    ResetByEndpoint,
    /// The answer is no valid HTTP (`UPE`).
    ProtocolError,
    /// Envoy itself reset the stream (`LR`).
    ResetByProxy,
    /// A failure of the connection that nothing tells more about.
    Unreachable,
    /// The endpoint answered 502, 503 or 504.
    GatewayStatus(u16),
    /// The endpoint answered another status of 500 or more.
    ServerStatus(u16),
    /// The endpoint answered 200 with a gRPC status that counts as an error.
    GrpcError,
    /// The endpoint answered with an error that nothing tells more about.
    OtherAnswer,
}

impl Failure {
    /// Concludes it from the last attempt of a streak; `kind` is the streak's: `5xx`, `gateway_error` or
    /// `local_origin`.
    pub(crate) fn of(kind: &str, last: &Last) -> Self {
        let has = |flag: &str| last.flags.split(',').any(|f| f.trim() == flag);
        let said = format!("{} {}", last.transport_failure, last.details).to_lowercase().replace('_', " ");
        let says = |words: &str| said.contains(words);
        if says("connection refused") {
            Self::ConnectionRefused
        } else if says("tls") || says("certificate") || says("ssl") {
            Self::TlsHandshake
        } else if says("no route to host") || says("network is unreachable") {
            Self::NoRoute
        } else if has("UF") && (says("timeout") || says("timed out")) {
            Self::ConnectTimeout
        } else if has("UF") {
            Self::ConnectFailed
        } else if has("UT") {
            Self::NoAnswer
        } else if has("UC") {
            Self::ConnectionClosed
        } else if has("UR") {
            Self::ResetByEndpoint
        } else if has("UPE") {
            Self::ProtocolError
        } else if has("LR") {
            Self::ResetByProxy
        } else if kind == "local_origin" {
            Self::Unreachable
        } else {
            match last.code {
                502..=504 => Self::GatewayStatus(last.code),
                500.. => Self::ServerStatus(last.code),
                200 => Self::GrpcError,
                _ => Self::OtherAnswer,
            }
        }
    }

    /// What to look for where an attempt failed like this.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "nothing listens there: is the process up, and on that port?",
            Self::TlsHandshake => "the two do not agree on TLS: certificates, their age, or plain text on one side",
            Self::NoRoute => "the address leads nowhere: is the node gone, or the network cut?",
            Self::ConnectTimeout => {
                "nobody answers at that address: node down, firewall or network policy, or a listener that is swamped"
            }
            Self::ConnectFailed => "no connection could be made: see the endpoint's port and the network on the way",
            Self::NoAnswer => {
                "it accepts requests and does not answer: look for what it waits for (locks, its database)"
            }
            Self::ConnectionClosed => "it closed connections under way: did it crash, or restart without draining?",
            Self::ResetByEndpoint => "it reset streams under way: did it crash, or refuse work?",
            Self::ProtocolError => "what it answered is no valid HTTP: is it the right port and protocol?",
            Self::ResetByProxy => "the proxy gave the attempt up: see the details in the log line",
            Self::Unreachable => "no answer came from it: see the details in the log line",
            Self::GatewayStatus(_) => {
                "it answers that what it needs is not there: look at its own dependencies and its load"
            }
            Self::ServerStatus(_) | Self::GrpcError | Self::OtherAnswer => {
                "the application itself answers with errors: look at its own log"
            }
        }
    }
}

/// In few words, for use within a sentence.
impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ConnectionRefused => "connection refused",
            Self::TlsHandshake => "TLS handshake failed",
            Self::NoRoute => "no route to the host",
            Self::ConnectTimeout => "no connection in time",
            Self::ConnectFailed => "connection failed",
            Self::NoAnswer => "no answer in time",
            Self::ConnectionClosed => "connection closed before the answer",
            Self::ResetByEndpoint => "connection reset by the endpoint",
            Self::ProtocolError => "protocol error in the answer",
            Self::ResetByProxy => "connection reset by the proxy",
            Self::Unreachable => "could not be reached",
            Self::GatewayStatus(code) | Self::ServerStatus(code) => return write!(out, "answered {code}"),
            Self::GrpcError => "answered with a gRPC error",
            Self::OtherAnswer => "answered with an error",
        })
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: &str, code: u16, flags: &str, details: &str) -> String {
        let last = Last { code, flags: flags.into(), details: details.into(), ..Last::default() };
        Failure::of(kind, &last).to_string()
    }

    #[test]
    fn envoys_flags_become_words() {
        for (kind, code, flags, details, words) in [
            (
                "local_origin",
                503,
                "UF",
                "upstream_reset{delayed_connect_error:_Connection_refused}",
                "connection refused",
            ),
            ("local_origin", 503, "UF,URX", "upstream_reset{connection_timeout}", "no connection in time"),
            ("local_origin", 504, "UT", "response_timeout", "no answer in time"),
            (
                "local_origin",
                503,
                "UC",
                "upstream_reset{connection_termination}",
                "connection closed before the answer",
            ),
            ("5xx", 500, "", "via_upstream", "answered 500"),
            ("gateway_error", 503, "URX", "via_upstream", "answered 503"),
            ("local_origin", 0, "", "", "could not be reached"),
        ] {
            assert_eq!(failure(kind, code, flags, details), words);
        }
        let tls = Last {
            flags: "UF".into(),
            transport_failure: "TLS_error:|268435581:SSL routines:CERTIFICATE_VERIFY_FAILED".into(),
            ..Last::default()
        };
        assert_eq!(Failure::of("local_origin", &tls), Failure::TlsHandshake);
    }
}
