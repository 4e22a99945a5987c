//! Classifies why a request to a registry failed.
//!
//! A response's status and body, or the HTTP client's error, become one [`ErrorCause`]. It decides whether a retry can
//! help and which remedy the error names. Nothing here does I/O.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use rustls::AlertDescription;

use super::words::{Words, is_generic};
use crate::terminal::escape;

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
    /// The server wants a client certificate, or another one.
    ClientCertificate(String),
    /// 401, with the registry's message.
    Unauthorized(String),
    /// 403, or the registry error code `DENIED`, with the registry's message.
    Forbidden(String),
    /// 404: the registry does not have the requested object; with its message.
    Missing(String),
    /// 429, with the registry's message.
    TooManyRequests(String),
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
    /// The content has another size than its descriptor announces.
    Size {
        /// The announced size in bytes.
        announced: i64,
        /// The size of the received content in bytes.
        actual: usize,
    },
    /// A response that no registry would give.
    Answer(String),
    /// The registry wants a secret, or a request, sent where it must not go.
    Refused(String),
}

impl ErrorCause {
    /// Classifies an unsuccessful response.
    pub(crate) fn of_answer(code: u16, body: &str) -> Self {
        let Words { code: named, text } = Words::of(body);
        match (named.as_deref(), code) {
            (Some("UNAUTHORIZED"), _) | (_, 401) => Self::Unauthorized(text),
            (Some("DENIED"), _) | (_, 403) => Self::Forbidden(text),
            (Some("TOOMANYREQUESTS"), _) | (_, 429) => Self::TooManyRequests(text),
            (_, 404) => Self::Missing(text),
            // The message of Go's HTTP server, in which most registries are written.
            (_, 400) if text.contains("HTTP request to an HTTPS server") => Self::OnlyTls,
            _ => Self::Status(code, text),
        }
    }

    /// Classifies an error of the HTTP client: no response came, or only a part of it.
    pub(crate) fn of_connection(error: &reqwest::Error) -> Self {
        if error.is_builder() || error.is_redirect() {
            return Self::Answer(deepest(error));
        }
        Self::of_chain(error, error.is_connect())
    }

    /// Searches the chain of sources for the part that an operator can act on.
    fn of_chain(error: &(dyn Error + 'static), connecting: bool) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            match error.downcast_ref::<rustls::Error>() {
                Some(rustls::Error::InvalidCertificate(why)) => return Self::Certificate(why.to_string()),
                Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
                Some(rustls::Error::AlertReceived(alert)) if is_about_a_certificate(*alert) => {
                    return Self::ClientCertificate(format!("{alert:?}"));
                }
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
            Self::TooManyRequests(_) | Self::Broken(_) => true,
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
            Self::ClientCertificate(why) => format!("it does not accept the client certificate, or wants one ({why})"),
            Self::Unauthorized(words) => format!("the registry answered 401, not authorized{}", in_brackets(words)),
            Self::Forbidden(words) => format!("the registry answered 403, permission denied{}", in_brackets(words)),
            Self::Missing(words) if is_generic(words) => "the registry answered 404, it has no such artifact".into(),
            Self::Missing(words) => format!("the registry answered 404{}", in_brackets(words)),
            Self::TooManyRequests(words) => {
                format!("the registry answered 429, too many requests{}", in_brackets(words))
            }
            Self::Status(code, words) => format!("the registry answered {code}{}", in_brackets(words)),
            Self::Broken(why) => format!("the connection broke ({why})"),
            Self::Digest { expected, actual } => format!("wrong digest: expected {expected}, got {actual}"),
            Self::Size { announced, actual } => {
                format!("wrong size: its descriptor announces {announced} bytes, it has {actual}")
            }
            Self::Answer(what) => format!("the answer is not that of a registry ({what})"),
            Self::Refused(what) => what.clone(),
        }
    }

    /// Whether the registry gave a reason of its own.
    pub(crate) fn gives_a_reason(&self) -> bool {
        match self {
            Self::Unauthorized(words)
            | Self::Forbidden(words)
            | Self::Missing(words)
            | Self::TooManyRequests(words)
            | Self::Status(_, words) => !is_generic(words),
            _ => true,
        }
    }
}

/// Whether a server says so of what the client has shown, or has not.
fn is_about_a_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::CertificateRequired
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

fn in_brackets(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(" ({words})") }
}

/// The innermost error's message. The outer ones repeat the URL, which may contain a signature.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(next) = beneath(error) {
        error = next;
    }
    escape::one_line(&error.to_string())
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
        assert_eq!(server(401, "no"), ErrorCause::Unauthorized("no".into()));
        assert_eq!(server(403, ""), ErrorCause::Forbidden(String::new()));
        assert_eq!(server(404, "<html>"), ErrorCause::Missing("an HTML page".into()));
        assert_eq!(server(400, "Client sent an HTTP request to an HTTPS server."), ErrorCause::OnlyTls);
        assert_eq!(server(503, "busy"), ErrorCause::Status(503, "busy".into()));
        let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
        assert_eq!(server(400, body), ErrorCause::Status(400, "blob unknown".into()));
        let body = r#"{"errors":[{"code":"DENIED","message":"over the quota"}]}"#;
        assert_eq!(server(401, body), ErrorCause::Unauthorized("over the quota".into()));
        assert_eq!(server(400, body), ErrorCause::Forbidden("over the quota".into()));
    }

    #[test]
    fn a_server_that_wants_a_certificate_of_the_client_is_understood() {
        for (alert, wanted) in [
            (AlertDescription::CertificateRequired, ErrorCause::ClientCertificate("CertificateRequired".into())),
            (AlertDescription::BadCertificate, ErrorCause::ClientCertificate("BadCertificate".into())),
            (AlertDescription::InternalError, ErrorCause::Broken("received fatal alert: InternalError".into())),
        ] {
            let error = std::io::Error::new(ErrorKind::InvalidData, rustls::Error::AlertReceived(alert));
            assert_eq!(ErrorCause::of_chain(&error, false), wanted);
        }
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
