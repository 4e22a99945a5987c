//! The ways in which a scripted endpoint can serve or fail.

/// The path of health checks. They do not count as requests; while the behaviour is to answer, whatever the status,
/// they succeed unless the endpoint is [ill](super::Upstream::set_ill).
pub const HEALTH_PATH: &str = "/healthz";

/// What the endpoint does with connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers every request with this status code.
    Answer(u16),
    /// Answers every other request with this status code, the rest with 200.
    AnswerAlternately(u16),
    /// Nothing listens: connections are refused.
    Refuse,
    /// Connections are neither accepted nor refused.
    Ignore,
    /// Accepts a connection and resets it at once.
    ResetOnConnect,
    /// Reads the request, then resets the connection; with HTTP/2, the stream.
    ResetOnRequest,
    /// Reads the request, then closes the connection in good order, without an answer.
    CloseBeforeHeaders,
    /// Reads the request and does not answer; closes the connection once the behaviour changes.
    Hang,
    /// Answers 200 with a part of the body, then resets the connection.
    ResetAfterHeaders,
    /// Answers 200 with a part of the body, and sends the rest once the behaviour changes.
    HoldBody,
    /// Answers with something that is not HTTP, and closes the connection.
    Babble,
    /// Answers 103, then with this status code.
    EarlyHints(u16),
    /// Answers 101, and closes the connection once the behaviour changes.
    SwitchProtocols,
    /// Answers 200 with this gRPC status and nothing more ("trailers-only").
    GrpcAtOnce(u8),
    /// Answers 200, then with this gRPC status in trailers. HTTP/2 only.
    GrpcInTrailers(u8),
}

impl Behaviour {
    /// Whether a connection that is open now must not serve another request.
    pub(super) fn ends_connections(self) -> bool {
        matches!(self, Self::Refuse | Self::Ignore | Self::ResetOnConnect)
    }
}
