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
        let remedy = remedy(doing, &cause, reference, credentials);
        Self { doing: doing.to_owned(), cause, tries, remedy }
    }

    /// Whether the registry said that the requested object does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.cause, ErrorCause::Missing(_))
    }

    /// Whether the registry gave no reason, as in an answer to HEAD, which has no body.
    pub(crate) fn lacks_a_reason(&self) -> bool {
        matches!(
            self.cause,
            ErrorCause::Forbidden(_) | ErrorCause::TooManyRequests(_) | ErrorCause::Status(400..=499, _)
        ) && !self.cause.gives_a_reason()
    }

    /// Whether the registry said that it does not know the method, as some do of HEAD.
    pub(crate) fn is_of_the_method(&self) -> bool {
        matches!(self.cause, ErrorCause::Status(405 | 501, _))
    }

    /// Whether the registry does not implement this part of the specification.
    pub(crate) fn is_no_such_service(&self) -> bool {
        matches!(
            self.cause,
            ErrorCause::Missing(_) | ErrorCause::Answer(_) | ErrorCause::Status(400 | 405 | 406 | 501, _)
        )
    }

    /// Whether the registry said that it does not do this.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self.cause, ErrorCause::Status(400 | 405 | 501, _))
    }

    /// Whether the registry, or a gateway before it, keeps the user from this part of the specification.
    pub(crate) fn is_not_allowed(&self) -> bool {
        matches!(self.cause, ErrorCause::Unauthorized(_) | ErrorCause::Forbidden(_))
    }

    /// What happened, without what was tried and without a remedy.
    pub(crate) fn what(&self) -> String {
        self.cause.what()
    }

    /// The same error with another remedy, which is the rest of its sentence.
    pub(crate) fn with_remedy(self, remedy: String) -> Self {
        Self { remedy, ..self }
    }
}

fn remedy(doing: &str, cause: &ErrorCause, reference: &RegistryRef, credentials: &Credentials) -> String {
    let RegistryRef { authority, repository, .. } = reference;
    match cause {
        ErrorCause::Unreachable(_) => format!("; check that `{authority}` is right and that the registry is up"),
        ErrorCause::NotTls => "; if it is a registry without TLS, add --plain-http".into(),
        ErrorCause::OnlyTls => "; leave --plain-http off, and for localhost add --ca-file or --insecure".into(),
        // `openssl req -x509` makes such certificates by default, and other clients accept them.
        ErrorCause::Certificate(why) if why.contains("CaUsedAsEndEntity") => {
            "; it is an authority's own certificate: give this very certificate with --ca-file, or --insecure to trust \
                anyone"
                .into()
        }
        ErrorCause::Certificate(_) => "; give its authority with --ca-file, or --insecure to trust anyone".into(),
        ErrorCause::ClientCertificate(_) => "; give the one it wants with --cert-file and --key-file".into(),
        ErrorCause::Unauthorized(_) => match credentials {
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
        // The registry's own reason tells whom to ask; a guess of ours could send people elsewhere.
        ErrorCause::Forbidden(_) | ErrorCause::TooManyRequests(_) if cause.gives_a_reason() => String::new(),
        ErrorCause::Forbidden(_) if repository.is_empty() => "; check the rights of your user".into(),
        ErrorCause::Forbidden(_) => format!("; check that your user may use `{repository}`, and that it exists"),
        ErrorCause::Missing(_) if repository.is_empty() => format!("; check that `{authority}` is a registry"),
        ErrorCause::Missing(_) if doing.starts_with("push") => {
            format!("; check the repository `{repository}`: some registries want it made before the first push")
        }
        ErrorCause::Missing(_) => match &reference.tag {
            Some(tag) => format!("; check repository `{repository}` and tag `{tag}`"),
            None => format!("; check repository `{repository}` and digest"),
        },
        ErrorCause::TooManyRequests(_) => "; wait a while, or log in for a higher limit".into(),
        ErrorCause::Status(500..=599, _) => "; try again later, or ask those who run the registry".into(),
        ErrorCause::Status(..) => "; ask those who run the registry".into(),
        ErrorCause::Broken(_) => "; check the network and try again".into(),
        ErrorCause::Digest { .. } => {
            "; the registry, or something on the way to it, changed the content: do not use it, and push again".into()
        }
        ErrorCause::Size { .. } => "; do not use it, and push it again".into(),
        ErrorCause::Answer(_) => format!("; check that `{authority}` is a registry"),
        ErrorCause::Refused(_) => "; ask those who run the registry".into(),
    }
}
