//! Parses a REF, the name of an artifact: `registry/repo:tag[@digest]` or `oci:DIR:TAG[@digest]`.
//!
//! This is stricter than Docker on purpose: the registry and the tag must be written out, because a name that is
//! completed by guessing (`docker.io`, `latest`) ends up in a mesh's manifest. Each malformed shape has a specific
//! error. The client library's parser is not used: it compiles a large regular expression in every process, and its
//! errors do not say what to do.

pub(crate) mod digest;
pub(crate) mod version_order;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use digest::{Digest, DigestError};

/// The location of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// In a registry.
    Registry(RegistryRef),
    /// In an OCI image layout directory.
    Layout(LayoutRef),
}

/// `registry/repo:tag[@digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryRef {
    /// Host, and port if given: `ghcr.io`, `localhost:5000`, `[::1]:5000`.
    pub(crate) authority: String,
    /// Path within the registry: `team/faultline`.
    pub(crate) repository: String,
    /// Tag.
    pub(crate) tag: String,
    /// The expected manifest digest, if given.
    pub(crate) digest: Option<Digest>,
}

/// `oci:DIR:TAG[@digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayoutRef {
    /// The layout's directory.
    pub(crate) dir: PathBuf,
    /// Tag, stored in the layout's index as `org.opencontainers.image.ref.name`.
    pub(crate) tag: String,
    /// The expected manifest digest, if given.
    pub(crate) digest: Option<Digest>,
}

/// A malformed REF: the input, and what is wrong with it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("reference `{input}`: {problem}")]
pub(crate) struct ReferenceError {
    input: String,
    problem: Problem,
}

/// What can be wrong with a REF; every message says what to write instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// It is empty.
    #[error("it is empty; write registry/repo:tag or oci:DIR:TAG")]
    Empty,
    /// It contains spaces, tabs, line ends or control characters.
    #[error("it contains white space or a control character; remove it")]
    Whitespace,
    /// It has a scheme: `https://…`, `docker://…`.
    #[error("leave `{0}` off: a reference is registry/repo:tag, or oci:DIR:TAG for a layout directory")]
    Scheme(String),
    /// It contains credentials: `user:password@…`.
    #[error("leave the user name and password off; give --username, and the password with --password-stdin")]
    Credentials,
    /// The registry is missing: `team/filter:1.0`.
    #[error("`{0}` is not a registry's host; write the registry first, such as docker.io/{1}")]
    NoRegistry(String, String),
    /// The host is malformed.
    #[error("`{0}` is not a valid host name; use letters, digits, `-` and `.`, or an address")]
    Host(String),
    /// The port is malformed or out of range.
    #[error("`{0}` is not a port; use a number from 1 to 65535")]
    Port(String),
    /// The repository is missing: `registry:tag` or `registry/`.
    #[error("the repository is missing; write registry/repo:tag, such as {0}/faultline:1.0")]
    NoRepository(String),
    /// The repository has capital letters.
    #[error("the repository `{0}` has capital letters; registries take lower case only: \
        `{lower}`", lower = .0.to_lowercase())]
    Uppercase(String),
    /// The repository path is malformed in another way.
    #[error(
        "`{0}` is not a valid repository; its parts, separated by `/`, are lower-case letters and digits joined by \
            `.`, `_`, `__` or `-`"
    )]
    Repository(String),
    /// The tag is missing.
    #[error("the tag is missing; add one, such as `{0}:1.0`")]
    NoTag(String),
    /// The tag is missing but there is a digest: `registry/repo@digest`, which other tools accept.
    #[error("the tag is missing; add one before the digest, such as `{0}:1.0@sha256:…`: a mesh's manifest names both")]
    NoTagBeforeDigest(String),
    /// The tag is malformed.
    #[error("`{0}` is not a valid tag; use 1 to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`")]
    Tag(String),
    /// What follows `@` is not a digest.
    #[error("what follows `@` must be the digest of the manifest: {0}")]
    Digest(#[from] DigestError),
    /// The directory is missing: `oci:`, `oci::tag`.
    #[error("the directory is missing; write oci:DIR:TAG")]
    NoDirectory,
}

impl ReferenceError {
    /// The same error, reported for another text than the parsed one.
    #[must_use]
    pub(crate) fn about(self, input: &str) -> Self {
        Self { input: without_password(input), ..self }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(input: &str) -> Result<Self, ReferenceError> {
        parse(input).map_err(|problem| ReferenceError { input: without_password(input), problem })
    }
}

/// Removes a user name and password before the registry, which must not end up in a log.
fn without_password(input: &str) -> String {
    let (scheme, rest) = input.find("://").map_or(("", input), |at| input.split_at(at + 3));
    match rest.split_once('@') {
        Some((user, host)) if !user.contains('/') => format!("{scheme}…@{host}"),
        _ => input.to_owned(),
    }
}

fn parse(input: &str) -> Result<Reference, Problem> {
    if input.is_empty() {
        return Err(Problem::Empty);
    }
    if let Some((scheme, _)) = input.split_once("://") {
        return Err(Problem::Scheme(format!("{scheme}://")));
    }
    if let Some(rest) = input.strip_prefix("oci:") {
        return layout(rest).map(Reference::Layout);
    }
    if input.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Problem::Whitespace);
    }
    registry(input).map(Reference::Registry)
}

/// Parses `DIR:TAG[@digest]`. The directory may hold any character, so the tag is what follows the last colon.
fn layout(rest: &str) -> Result<LayoutRef, Problem> {
    let (rest, digest) = match rest.rsplit_once("@sha256:") {
        Some((name, hex)) => (name, Some(format!("sha256:{hex}").parse::<Digest>()?)),
        None => (rest, None),
    };
    let (dir, tag) = rest.rsplit_once(':').map_or((rest, None), |(dir, tag)| (dir, Some(tag)));
    if dir.is_empty() {
        return Err(Problem::NoDirectory);
    }
    let tag = tag.ok_or_else(|| Problem::NoTag(format!("oci:{rest}")))?;
    Ok(LayoutRef { dir: dir.into(), tag: checked_tag(tag)?, digest })
}

fn registry(input: &str) -> Result<RegistryRef, Problem> {
    let (name, digest) = match input.split_once('@') {
        Some((user, _)) if !user.contains('/') => return Err(Problem::Credentials),
        Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
        None => (input, None),
    };
    let Some((authority, path)) = name.split_once('/') else {
        return Err(match name.split_once(':') {
            Some((authority, _)) if looks_like_authority(authority) => Problem::NoRepository(authority.to_owned()),
            None if looks_like_authority(name) => Problem::NoRepository(name.to_owned()),
            _ => Problem::NoRegistry(name.to_owned(), name.to_owned()),
        });
    };
    if !looks_like_authority(authority) {
        return Err(Problem::NoRegistry(authority.to_owned(), name.to_owned()));
    }
    check_authority(authority)?;
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    if repository.is_empty() {
        return Err(Problem::NoRepository(authority.to_owned()));
    }
    check_repository(repository)?;
    let missing = if digest.is_some() { Problem::NoTagBeforeDigest } else { Problem::NoTag };
    let tag = tag.ok_or_else(|| missing(name.to_owned()))?;
    Ok(RegistryRef {
        authority: authority.to_owned(),
        repository: repository.to_owned(),
        tag: checked_tag(tag)?,
        digest,
    })
}

/// The rule by which every OCI tool tells an authority from the first part of a path.
fn looks_like_authority(part: &str) -> bool {
    part.contains(['.', ':', '[']) || part == "localhost"
}

fn check_authority(authority: &str) -> Result<(), Problem> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(|| Problem::Host(authority.to_owned()))?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(Problem::Host(authority.to_owned()));
            }
            ("", (!after.is_empty()).then(|| after.strip_prefix(':').unwrap_or(after)))
        }
        None => match authority.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (authority, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !authority.starts_with('[') && !name.split('.').all(label) {
        return Err(Problem::Host(name.to_owned()));
    }
    match port {
        Some(port) if !port.bytes().all(|b| b.is_ascii_digit()) || !matches!(port.parse::<u16>(), Ok(1..)) => {
            Err(Problem::Port(port.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The distribution specification's rule: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, parts separated by `/`.
fn check_repository(repository: &str) -> Result<(), Problem> {
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Problem::Uppercase(repository.to_owned()));
    }
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        let separators_hold = part
            .split(|c: char| c.is_ascii() && alphanumeric(c as u8))
            .all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'));
        let ends_hold = part.bytes().next().is_some_and(alphanumeric) && part.bytes().last().is_some_and(alphanumeric);
        separators_hold && ends_hold
    };
    if repository.len() <= 255 && repository.split('/').all(part) {
        Ok(())
    } else {
        Err(Problem::Repository(repository.to_owned()))
    }
}

fn checked_tag(tag: &str) -> Result<String, Problem> {
    let body = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if (1..=128).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(body) {
        Ok(tag.to_owned())
    } else {
        Err(Problem::Tag(tag.to_owned()))
    }
}

impl RegistryRef {
    /// Whether the registry is on this machine, where registries are usually served over plain http.
    pub(crate) fn is_loopback(&self) -> bool {
        if self.authority.starts_with("[::1]") {
            return true;
        }
        let name = self.authority.split(':').next().unwrap_or_default();
        name == "localhost" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// `registry/repo:tag` without a digest.
    pub(crate) fn tagged(&self) -> String {
        format!("{}/{}:{}", self.authority, self.repository, self.tag)
    }
}

impl Reference {
    /// The digest, if given.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(r) => r.digest.as_ref(),
            Self::Layout(l) => l.digest.as_ref(),
        }
    }

    /// The tag.
    pub(crate) fn tag(&self) -> &str {
        match self {
            Self::Registry(r) => &r.tag,
            Self::Layout(l) => &l.tag,
        }
    }

    /// The same reference with this digest.
    pub(crate) fn with_digest(&self, digest: &Digest) -> Self {
        let mut pinned = self.clone();
        match &mut pinned {
            Self::Registry(r) => r.digest = Some(digest.clone()),
            Self::Layout(l) => l.digest = Some(digest.clone()),
        }
        pinned
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(r) => f.write_str(&r.tagged())?,
            Self::Layout(l) => write!(f, "oci:{}:{}", l.dir.display(), l.tag)?,
        }
        self.digest().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(input: &str) -> Problem {
        input.parse::<Reference>().expect_err(input).problem
    }

    #[test]
    fn well_formed_references_print_as_they_were_written() {
        let digest = "a".repeat(64);
        for text in [
            "ghcr.io/team/faultline:1.0".to_owned(),
            "localhost:5000/faultline:latest".to_owned(),
            "localhost/faultline:1".to_owned(),
            "[::1]:5000/a/b/c:v1".to_owned(),
            "registry.example.com:443/a.b/c__d/e-f--g:V1_2.3-x".to_owned(),
            format!("ghcr.io/team/faultline:1.0@sha256:{digest}"),
            "oci:/var/lib/layout:1.0".to_owned(),
            "oci:C:/my layouts/x:1.0".to_owned(),
            format!("oci:out:1.0@sha256:{digest}"),
        ] {
            let parsed: Reference = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn each_malformed_shape_has_its_own_error() {
        assert_eq!(problem(""), Problem::Empty);
        assert_eq!(problem("ghcr.io/a b:1"), Problem::Whitespace);
        assert_eq!(problem("ghcr.io/a:1\n"), Problem::Whitespace);
        assert_eq!(problem("https://ghcr.io/a:1"), Problem::Scheme("https://".into()));
        assert_eq!(problem("oci://ghcr.io/a:1"), Problem::Scheme("oci://".into()));
        assert_eq!(problem("faultline:1.0"), Problem::NoRegistry("faultline:1.0".into(), "faultline:1.0".into()));
        assert_eq!(problem("team/faultline:1.0"), Problem::NoRegistry("team".into(), "team/faultline:1.0".into()));
        assert_eq!(problem("-bad.io/a:1"), Problem::Host("-bad.io".into()));
        assert_eq!(problem("a..b/a:1"), Problem::Host("a..b".into()));
        assert_eq!(problem("[::zz]/a:1"), Problem::Host("[::zz]".into()));
        assert_eq!(problem("localhost:http/a:1"), Problem::Port("http".into()));
        assert_eq!(problem("localhost:0/a:1"), Problem::Port("0".into()));
        assert_eq!(problem("localhost:65536/a:1"), Problem::Port("65536".into()));
        assert_eq!(problem("localhost:/a:1"), Problem::Port(String::new()));
        assert_eq!(problem("ghcr.io"), Problem::NoRepository("ghcr.io".into()));
        assert_eq!(problem("localhost:5000"), Problem::NoRepository("localhost".into()));
        assert_eq!(problem("ghcr.io/:1"), Problem::NoRepository("ghcr.io".into()));
        assert_eq!(problem("ghcr.io/Team/a:1"), Problem::Uppercase("Team/a".into()));
        for bad in ["a//b", "/a", "a/", "a..b", "a___b", "_a", "a-", "a$b", "ä"] {
            assert_eq!(problem(&format!("ghcr.io/{bad}:1")), Problem::Repository(bad.into()));
        }
        assert_eq!(problem("ghcr.io/a"), Problem::NoTag("ghcr.io/a".into()));
        let digest = Digest::of(b"");
        assert_eq!(problem(&format!("ghcr.io/a@{digest}")), Problem::NoTagBeforeDigest("ghcr.io/a".into()));
        assert_eq!(problem("ghcr.io/a:"), Problem::Tag(String::new()));
        assert_eq!(problem("ghcr.io/a:-x"), Problem::Tag("-x".into()));
        let long = "t".repeat(129);
        assert_eq!(problem(&format!("ghcr.io/a:{long}")), Problem::Tag(long));
        assert!(matches!(problem("ghcr.io/a:1@"), Problem::Digest(DigestError::Algorithm(_))));
        assert!(matches!(problem("ghcr.io/a:1@md5:00"), Problem::Digest(DigestError::Algorithm(_))));
        assert!(matches!(problem("ghcr.io/a:1@sha256:00"), Problem::Digest(DigestError::Hex(_))));
        assert_eq!(problem("oci:out"), Problem::NoTag("oci:out".into()));
        assert_eq!(problem("oci::1.0"), Problem::NoDirectory);
        assert_eq!(problem("oci:"), Problem::NoDirectory);
        assert_eq!(problem("oci:out:"), Problem::Tag(String::new()));
        assert_eq!(problem("oci:out:a/b"), Problem::Tag("a/b".into()));
        assert!(matches!(problem("oci:out:1@sha256:00"), Problem::Digest(_)));
    }

    #[test]
    fn a_password_in_a_reference_is_not_repeated() {
        for text in ["https://user:hunter2@ghcr.io/a:1", "user:hunter2@ghcr.io/a:1"] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.starts_with("reference `") && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(problem("user:hunter2@ghcr.io/a:1"), Problem::Credentials);
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |text: &str| match text.parse() {
            Ok(Reference::Registry(r)) => r.is_loopback(),
            other => panic!("{text}: {other:?}"),
        };
        assert!(
            ["localhost:5000/a:1", "localhost/a:1", "127.0.0.9:5000/a:1", "[::1]:5000/a:1"].into_iter().all(loopback)
        );
        assert!(!["ghcr.io/a:1", "localhost.example.com/a:1", "10.0.0.1:5000/a:1"].into_iter().any(loopback));
    }
}
