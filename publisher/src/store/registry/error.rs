//! The error of a failed exchange with a registry, with a remedy.

use super::cause::ErrorCause;
use crate::credentials::Credentials;
use crate::reference::RegistryRef;

/// What was tried, why it failed, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {}{}{remedy}", cause.what(), if *tries > 1 { format!(" ({tries} \
times)") } else { String::new() })]
pub(crate) struct RegistryError {
    doing: String,
    cause: ErrorCause,
    tries: u32,
    remedy: String,
}

impl RegistryError {
    /// Creates the error with the remedy for its cause.
    pub(crate) fn new(
        doing: &str,
        cause: ErrorCause,
        tries: u32,
        reference: &RegistryRef,
        credentials: &Credentials,
    ) -> Self {
        let remedy = remedy(&cause, reference, credentials);
        Self { doing: doing.to_owned(), cause, tries, remedy }
    }

    /// Whether the registry said that the requested object does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.cause == ErrorCause::Missing
    }

    /// Whether the registry does not implement this part of the specification.
    pub(crate) fn is_no_such_service(&self) -> bool {
        matches!(self.cause, ErrorCause::Missing | ErrorCause::Answer(_) | ErrorCause::Status(400 | 405 | 406 | 501, _))
    }

    /// The same error with another remedy, which is the rest of its sentence.
    pub(crate) fn with_remedy(self, remedy: String) -> Self {
        Self { remedy, ..self }
    }
}

fn remedy(cause: &ErrorCause, reference: &RegistryRef, credentials: &Credentials) -> String {
    let RegistryRef { authority, repository, tag, .. } = reference;
    match cause {
        ErrorCause::Unreachable(_) => format!("; check that `{authority}` is right and that the registry is up"),
        ErrorCause::NotTls => "; if it is a registry without TLS, add --plain-http".into(),
        ErrorCause::OnlyTls => "; leave --plain-http off, and for localhost add --ca-file or --insecure".into(),
        // `openssl req -x509` makes such certificates by default, and other clients accept them.
        ErrorCause::Certificate(why) if why.contains("CaUsedAsEndEntity") => {
            "; it is an authority's own certificate: use one that the authority has signed, or --insecure to trust \
                anyone"
                .into()
        }
        ErrorCause::Certificate(_) => "; give its authority with --ca-file, or --insecure to trust anyone".into(),
        ErrorCause::Unauthorized => match credentials {
            Credentials::Anonymous => format!(
                "; no credentials for `{authority}` were found: run `faultline login {authority}`, or give --username \
                    and --password-stdin"
            ),
            Credentials::Basic { username, origin, .. } => {
                format!("; it refused the user `{username}` from {origin}: check the password and its rights")
            }
            Credentials::IdentityToken { origin, .. } => {
                format!("; it refused the identity token from {origin}: it may have expired, log in again")
            }
        },
        ErrorCause::Forbidden if repository.is_empty() => "; check the rights of your user".into(),
        ErrorCause::Forbidden => format!("; check that your user may use `{repository}`, and that it exists"),
        ErrorCause::Missing if repository.is_empty() => format!("; check that `{authority}` is a registry"),
        ErrorCause::Missing => format!("; check repository `{repository}` and tag `{tag}`"),
        ErrorCause::TooManyRequests => "; wait a while, or log in for a higher limit".into(),
        ErrorCause::Status(500..=599, _) => "; try again later, or ask those who run the registry".into(),
        ErrorCause::Status(..) => "; ask those who run the registry".into(),
        ErrorCause::Broken(_) => "; check the network and try again".into(),
        ErrorCause::Digest { .. } => {
            "; the registry, or something on the way to it, changed the content: do not use it, and push again".into()
        }
        ErrorCause::Answer(_) => format!("; check that `{authority}` is a registry"),
    }
}
