//! What went wrong between here and a registry, in words that say what to do.
//!
//! The client library's errors are turned into one [`Cause`] each, which decides two things: whether it is worth trying again,
//! and which remedy is named. Nothing here does I/O.

use std::error::Error;
use std::io::ErrorKind;

use oci_distribution::errors::{DigestError, OciDistributionError as ClientError, OciEnvelope, OciErrorCode};

/// Why a request did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection: refused, no such host, no route, no answer in time.
    Unreachable(String),
    /// The server does not speak TLS.
    NotTls,
    /// The server speaks TLS and was spoken to in plain http.
    OnlyTls,
    /// The server's certificate is not trusted.
    Certificate(String),
    /// 401.
    Unauthorized,
    /// 403, or a registry's own `DENIED`.
    Forbidden,
    /// 404, or a registry's own "unknown".
    Missing,
    /// 429.
    TooManyRequests,
    /// Any other status, with the registry's own words.
    Status(u16, String),
    /// The connection broke, or went silent, in the middle.
    Broken(String),
    /// What came is not what was asked for.
    Digest {
        /// The digest asked for or announced.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// An answer that is none of a registry.
    Answer(String),
}

impl Cause {
    /// Reads the client library's error.
    pub fn of(error: &ClientError) -> Self {
        match error {
            ClientError::UnauthorizedError { .. } | ClientError::AuthenticationFailure(_) => Self::Unauthorized,
            ClientError::RegistryError { envelope, .. } => Self::of_envelope(envelope, None),
            ClientError::ServerError { code, message, .. } => {
                let envelope = serde_json::from_str(message).unwrap_or(OciEnvelope { errors: Vec::new() });
                if envelope.errors.is_empty() {
                    Self::of_status(*code, message.trim().chars().take(200).collect())
                } else {
                    Self::of_envelope(&envelope, Some(*code))
                }
            }
            ClientError::ImageManifestNotFoundError(_) => Self::Missing,
            ClientError::RequestError(error) => match error.status() {
                Some(status) => Self::of_status(status.as_u16(), String::new()),
                None => Self::of_connection(error, error.is_connect()),
            },
            ClientError::IoError(error) => Self::of_connection(error, false),
            ClientError::DigestError(error) => Self::of_digest(error),
            other => Self::Answer(other.to_string()),
        }
    }

    fn of_status(code: u16, message: String) -> Self {
        match code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::Missing,
            429 => Self::TooManyRequests,
            // The words of Go's HTTP server, which most registries are written with.
            400 if message.contains("HTTP request to an HTTPS server") => Self::OnlyTls,
            _ => Self::Status(code, message),
        }
    }

    fn of_envelope(envelope: &OciEnvelope, status: Option<u16>) -> Self {
        let Some(first) = envelope.errors.first() else {
            return status
                .map_or_else(|| Self::Answer("an empty error".into()), |code| Self::of_status(code, String::new()));
        };
        match (&first.code, status) {
            (OciErrorCode::Unauthorized, _) => Self::Unauthorized,
            (OciErrorCode::Denied, _) => Self::Forbidden,
            (OciErrorCode::Toomanyrequests, _) => Self::TooManyRequests,
            (
                OciErrorCode::ManifestUnknown
                | OciErrorCode::NameUnknown
                | OciErrorCode::BlobUnknown
                | OciErrorCode::NotFound,
                None | Some(404),
            ) => Self::Missing,
            (_, Some(code)) => Self::of_status(code, first.message.clone()),
            (code, None) => Self::Answer(format!("{code:?}: {}", first.message)),
        }
    }

    fn of_digest(error: &DigestError) -> Self {
        match error {
            DigestError::VerificationError { expected, actual } => {
                Self::Digest { expected: expected.clone(), actual: actual.clone() }
            }
            other => Self::Answer(other.to_string()),
        }
    }

    /// Walks the chain of sources for the part that an operator can act on.
    fn of_connection(error: &(dyn Error + 'static), connecting: bool) -> Self {
        let mut deepest = error.to_string();
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<DigestError>() {
                return Self::of_digest(error);
            }
            match error.downcast_ref::<rustls::Error>() {
                Some(rustls::Error::InvalidCertificate(why)) => return Self::Certificate(why.to_string()),
                Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
                _ => {}
            }
            deepest = error.to_string();
            // An I/O error hides what it wraps from `source`.
            next = match error.downcast_ref::<std::io::Error>() {
                Some(io) if io.kind() == ErrorKind::ConnectionRefused => {
                    return Self::Unreachable("connection refused".into());
                }
                Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        if connecting { Self::Unreachable(deepest) } else { Self::Broken(deepest) }
    }

    /// Whether it may well be over in a moment. A refused connection is not: it is a wrong address or a registry that is down.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::TooManyRequests | Self::Broken(_) => true,
            Self::Status(code, _) => *code == 408 || (500..=599).contains(code),
            _ => false,
        }
    }

    /// What happened, as the end of a sentence.
    pub fn what(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Cause {
        Cause::of(&ClientError::ServerError { code, url: String::new(), message: message.into() })
    }

    #[test]
    fn statuses_become_causes_whatever_the_body() {
        assert_eq!(server(401, "no"), Cause::Unauthorized);
        assert_eq!(server(403, ""), Cause::Forbidden);
        assert_eq!(server(404, "<html>"), Cause::Missing);
        assert_eq!(server(400, "Client sent an HTTP request to an HTTPS server."), Cause::OnlyTls);
        assert_eq!(server(503, "busy"), Cause::Status(503, "busy".into()));
        let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
        assert_eq!(server(400, body), Cause::Status(400, "blob unknown".into()));
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        assert_eq!(server(401, body), Cause::Unauthorized);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let passing = [408, 429, 500, 502, 503, 504].map(|code| server(code, "").is_passing());
        assert_eq!(passing, [true; 6]);
        let lasting = [400, 401, 403, 404, 405, 413].map(|code| server(code, "").is_passing());
        assert_eq!(lasting, [false; 6]);
        assert!(Cause::Broken(String::new()).is_passing());
        assert!(!Cause::Unreachable(String::new()).is_passing());
    }
}
