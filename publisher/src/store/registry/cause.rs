//! Classifies why a request to a registry failed.
//!
//! A response's status and body, or the HTTP client's error, become one [`ErrorCause`]. It decides whether a retry can
//! help and which remedy the error names. Nothing here does I/O.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use oci_distribution::errors::{OciEnvelope, OciErrorCode};

/// The most characters of a server's message that an error repeats.
const MOST_WORDS: usize = 200;

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestError {
    /// Why it failed.
    pub(crate) cause: ErrorCause,
    /// How long the server asks clients to wait, from `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
}

impl From<ErrorCause> for RequestError {
    fn from(cause: ErrorCause) -> Self {
        Self { cause, retry_after: None }
    }
}

impl From<reqwest::Error> for RequestError {
    fn from(error: reqwest::Error) -> Self {
        ErrorCause::of_connection(&error).into()
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCause {
    /// No connection: refused, unknown host, no route, or no answer in time.
    Unreachable(String),
    /// The server does not speak TLS.
    NotTls,
    /// The server speaks TLS, but the request was plain http.
    OnlyTls,
    /// The server's certificate is not trusted.
    Certificate(String),
    /// 401.
    Unauthorized,
    /// 403, or the registry error code `DENIED`.
    Forbidden,
    /// 404: the registry does not have the requested object.
    Missing,
    /// 429.
    TooManyRequests,
    /// Any other status, with the registry's message.
    Status(u16, String),
    /// The connection broke, or went silent, in the middle of the exchange.
    Broken(String),
    /// The content has another digest than requested.
    Digest {
        /// The requested or announced digest.
        expected: String,
        /// The digest of the received content.
        actual: String,
    },
    /// A response that no registry would give.
    Answer(String),
}

impl ErrorCause {
    /// Classifies an unsuccessful response.
    pub(crate) fn of_answer(code: u16, body: &str) -> Self {
        match serde_json::from_str::<OciEnvelope>(body) {
            Ok(envelope) if !envelope.errors.is_empty() => Self::of_envelope(&envelope, code),
            _ => Self::of_status(code, body.trim().chars().take(MOST_WORDS).collect()),
        }
    }

    /// Classifies an error of the HTTP client: no response came, or only a part of it.
    pub(crate) fn of_connection(error: &reqwest::Error) -> Self {
        if error.is_builder() || error.is_redirect() {
            return Self::Answer(deepest(error));
        }
        Self::of_chain(error, error.is_connect())
    }

    fn of_status(code: u16, message: String) -> Self {
        match code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::Missing,
            429 => Self::TooManyRequests,
            // The message of Go's HTTP server, in which most registries are written.
            400 if message.contains("HTTP request to an HTTPS server") => Self::OnlyTls,
            _ => Self::Status(code, message),
        }
    }

    fn of_envelope(envelope: &OciEnvelope, status: u16) -> Self {
        let Some(first) = envelope.errors.first() else { return Self::of_status(status, String::new()) };
        match (&first.code, status) {
            (OciErrorCode::Unauthorized, _) => Self::Unauthorized,
            (OciErrorCode::Denied, _) => Self::Forbidden,
            (OciErrorCode::Toomanyrequests, _) => Self::TooManyRequests,
            (code, _) => {
                let words = if first.message.is_empty() { format!("{code:?}") } else { first.message.clone() };
                Self::of_status(status, words.chars().take(MOST_WORDS).collect())
            }
        }
    }

    /// Searches the chain of sources for the part that an operator can act on.
    fn of_chain(error: &(dyn Error + 'static), connecting: bool) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            match error.downcast_ref::<rustls::Error>() {
                Some(rustls::Error::InvalidCertificate(why)) => return Self::Certificate(why.to_string()),
                Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
                _ => {}
            }
            if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == ErrorKind::ConnectionRefused) {
                return Self::Unreachable("connection refused".into());
            }
            next = beneath(error);
        }
        let why = deepest(error);
        if connecting { Self::Unreachable(why) } else { Self::Broken(why) }
    }

    /// Whether the same request may soon succeed. A refused connection does not count: either the address is wrong or
    /// the registry is down.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::TooManyRequests | Self::Broken(_) => true,
            // 501 is "not implemented".
            Self::Status(code, _) => matches!(code, 408 | 500 | 502..=599),
            _ => false,
        }
    }

    /// What happened, phrased as the end of a sentence.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Unreachable(why) => format!("no connection ({why})"),
            Self::NotTls => "the server does not speak https".into(),
            Self::OnlyTls => "the server speaks https only".into(),
            Self::Certificate(why) => format!("its certificate is not trusted ({why})"),
            Self::Unauthorized => "the registry answered 401, not authorized".into(),
            Self::Forbidden => "the registry answered 403, permission denied".into(),
            Self::Missing => "the registry answered 404, it has no such artifact".into(),
            Self::TooManyRequests => "the registry answered 429, too many requests".into(),
            Self::Status(code, message) if message.is_empty() => format!("the registry answered {code}"),
            Self::Status(code, message) => format!("the registry answered {code} ({message})"),
            Self::Broken(why) => format!("the connection broke ({why})"),
            Self::Digest { expected, actual } => format!("wrong digest: expected {expected}, got {actual}"),
            Self::Answer(what) => format!("the answer is not that of a registry ({what})"),
        }
    }
}

/// The innermost error's message. The outer ones repeat the URL, which may contain a signature.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(next) = beneath(error) {
        error = next;
    }
    error.to_string()
}

/// The error that this one wraps. An I/O error does not return it from `source`.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> ErrorCause {
        ErrorCause::of_answer(code, message)
    }

    #[test]
    fn statuses_become_causes_whatever_the_body() {
        assert_eq!(server(401, "no"), ErrorCause::Unauthorized);
        assert_eq!(server(403, ""), ErrorCause::Forbidden);
        assert_eq!(server(404, "<html>"), ErrorCause::Missing);
        assert_eq!(server(400, "Client sent an HTTP request to an HTTPS server."), ErrorCause::OnlyTls);
        assert_eq!(server(503, "busy"), ErrorCause::Status(503, "busy".into()));
        let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
        assert_eq!(server(400, body), ErrorCause::Status(400, "blob unknown".into()));
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        assert_eq!(server(401, body), ErrorCause::Unauthorized);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let passing = [408, 429, 500, 502, 503, 504].map(|code| server(code, "").is_passing());
        assert_eq!(passing, [true; 6]);
        let lasting = [400, 401, 403, 404, 405, 413].map(|code| server(code, "").is_passing());
        assert_eq!(lasting, [false; 6]);
        assert!(ErrorCause::Broken(String::new()).is_passing());
        assert!(!ErrorCause::Unreachable(String::new()).is_passing());
    }
}
