//! Parses a REF, the name of an artifact: `registry/repo:tag[@digest]`, `registry/repo@digest`, `oci:DIR:TAG[@digest]`
//! or `oci-archive:FILE:TAG`.
//!
//! Short names are Docker Hub's, as everywhere (`team/faultline:1.0`). But a tag or a digest must be written out,
//! because one that is completed by guessing (`latest`) ends up in a mesh's manifest. Each malformed shape has its own
//! error. The client library's parser is not used: it compiles a large regular expression in every process, and its
//! errors do not say what to do.

pub(crate) mod digest;
pub(crate) mod version_order;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use digest::{Digest, DigestError};

/// The registry of names that name none.
const DOCKER_HUB: &str = "docker.io";

/// The location of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// In a registry.
    Registry(RegistryRef),
    /// In an OCI image layout: a directory, or a tar archive of one.
    Layout(LayoutRef),
}

/// `registry/repo:tag[@digest]` or `registry/repo@digest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryRef {
    /// Host, and port if given: `ghcr.io`, `localhost:5000`, `[::1]:5000`.
    pub(crate) authority: String,
    /// Path within the registry: `team/faultline`.
    pub(crate) repository: String,
    /// Tag; there is one if there is no digest.
    pub(crate) tag: Option<String>,
    /// The expected manifest digest, if given.
    pub(crate) digest: Option<Digest>,
}

/// `oci:DIR[:TAG][@digest]`, or `oci-archive:FILE[:TAG][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayoutRef {
    /// The layout's directory, or its archive.
    pub(crate) dir: PathBuf,
    /// Whether it was named as an archive, which is then made if it is not there.
    pub(crate) is_archive: bool,
    /// Tag, stored in the layout's index as `org.opencontainers.image.ref.name`. Other tools store whole references.
    /// Without one, and without a digest, the only manifest is meant.
    pub(crate) tag: Option<String>,
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
    /// It is in one of skopeo's other places, such as an archive of docker's.
    #[error(
        "`{0}` is one of skopeo's places, and not read here; copy it first, such as `skopeo copy {0}… \
         oci-archive:NEW.tar:TAG`, and name `oci-archive:NEW.tar:TAG`"
    )]
    Transport(&'static str),
    /// It contains credentials: `user:password@…`.
    #[error("leave the user name and password off; give --username, and the password with --password-stdin")]
    Credentials,
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
    #[error("the tag is missing; add one, such as `{0}:1.0`, or a digest, `{0}@sha256:…`")]
    NoTag(String),
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
        return layout(rest, false).map(Reference::Layout);
    }
    if let Some(rest) = input.strip_prefix("oci-archive:") {
        return layout(rest, true).map(Reference::Layout);
    }
    if let Some(transport) = TRANSPORTS.into_iter().find(|transport| is_in(input, transport)) {
        return Err(Problem::Transport(transport));
    }
    if input.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Problem::Whitespace);
    }
    registry(input).map(Reference::Registry)
}

/// Where skopeo and podman find images besides registries and layouts.
const TRANSPORTS: [&str; 5] = ["docker-archive:", "docker-daemon:", "containers-storage:", "dir:", "tarball:"];

/// Whether a reference begins with a transport, and not with a registry of this name and its port.
fn is_in(input: &str, transport: &str) -> bool {
    let rest = input.strip_prefix(transport).map(|rest| rest.split('/').next().unwrap_or(rest));
    rest.is_some_and(|port| port.parse::<u16>().is_err())
}

/// Parses `DIR[:TAG][@digest]`. The directory may hold any character, and other tools store whole references for tags:
/// if a layout is at what precedes one of the colons, the rest is the tag; else the tag is what follows the last colon.
fn layout(rest: &str, is_archive: bool) -> Result<LayoutRef, Problem> {
    let (name, digest) = match rest.rsplit_once("@sha256:") {
        Some((name, hex)) => (name, Some(format!("sha256:{hex}").parse::<Digest>()?)),
        None => (rest, None),
    };
    let is_layout = |path: &str| Path::new(path).is_file() || Path::new(path).join("oci-layout").exists();
    let known = name.match_indices(':').map(|(at, _)| name.split_at(at)).find(|(dir, _)| is_layout(dir));
    let (dir, tag) = match known {
        _ if is_layout(name) => (name, None),
        Some((dir, tag)) => (dir, Some(&tag[1..])),
        None => name.rsplit_once(':').map_or((name, None), |(dir, tag)| (dir, Some(tag))),
    };
    if dir.is_empty() {
        return Err(Problem::NoDirectory);
    }
    let tag = match tag {
        Some(tag) if known.is_some() && is_reference_name(tag) => Some(tag.to_owned()),
        Some(tag) => Some(checked_tag(tag)?),
        None => None,
    };
    Ok(LayoutRef { dir: dir.into(), is_archive, tag, digest })
}

/// The image specification's rule for `org.opencontainers.image.ref.name`, loosely.
fn is_reference_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:@/+".contains(&b);
    name.contains(['/', ':']) && name.bytes().all(allowed)
}

fn registry(input: &str) -> Result<RegistryRef, Problem> {
    let (name, digest) = match input.split_once('@') {
        Some((user, rest)) if !user.contains('/') && !rest.starts_with("sha256:") => return Err(Problem::Credentials),
        Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
        None => (input, None),
    };
    let (authority, path) = match name.split_once('/') {
        Some((authority, path)) if looks_like_authority(authority) => (authority, path),
        Some(_) => (DOCKER_HUB, name),
        None => match name.split_once(':') {
            // `localhost:5000` is a registry, `faultline:1.0` an image of Docker Hub's.
            Some((host, _)) if looks_like_authority(host) => return Err(Problem::NoRepository(host.to_owned())),
            None if looks_like_authority(name) => return Err(Problem::NoRepository(name.to_owned())),
            _ => (DOCKER_HUB, name),
        },
    };
    check_authority(authority)?;
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    if repository.is_empty() {
        return Err(Problem::NoRepository(authority.to_owned()));
    }
    check_repository(repository)?;
    if tag.is_none() && digest.is_none() {
        return Err(Problem::NoTag(name.to_owned()));
    }
    // Images of one name alone are in a repository of Docker's own.
    let is_official = authority == DOCKER_HUB && !repository.contains('/');
    let repository = if is_official { format!("library/{repository}") } else { repository.to_owned() };
    Ok(RegistryRef { authority: authority.to_owned(), repository, tag: tag.map(checked_tag).transpose()?, digest })
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

    /// `registry/repo:tag` without a digest, or `registry/repo` if there is no tag.
    pub(crate) fn tagged(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{}/{}{tag}", self.authority, self.repository)
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

    /// The tag, if given.
    pub(crate) fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry(r) => r.tag.as_deref(),
            Self::Layout(l) => l.tag.as_deref(),
        }
    }

    /// What has this digest in the same place, whatever its tag.
    pub(crate) fn untagged(&self, digest: &Digest) -> Self {
        let mut named = self.with_digest(digest);
        match &mut named {
            Self::Registry(r) => r.tag = None,
            Self::Layout(l) => l.tag = None,
        }
        named
    }

    /// Whether `text` does not say what this says: a short name, which was completed.
    pub(crate) fn completes(&self, text: &str) -> bool {
        matches!(self, Self::Registry(r) if r.authority == DOCKER_HUB && !text.starts_with("docker.io/"))
            || matches!(self, Self::Registry(r) if !text.contains(&r.repository))
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
            Self::Layout(l) => {
                write!(f, "{}:{}", if l.is_archive { "oci-archive" } else { "oci" }, l.dir.display())?;
                l.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
            }
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
            format!("ghcr.io/team/faultline@sha256:{digest}"),
            "oci:out".to_owned(),
            format!("oci:out@sha256:{digest}"),
            "oci-archive:/srv/out.tar:1.0".to_owned(),
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
        for name in ["docker-archive:x.tar", "docker-archive:/a/x.tar:1.0"] {
            assert_eq!(problem(name), Problem::Transport("docker-archive:"));
        }
        assert_eq!(problem("containers-storage:a/b:1"), Problem::Transport("containers-storage:"));
        assert_eq!(problem("dir:/tmp/x"), Problem::Transport("dir:"));
        assert!("dir:5000/a/b:1".parse::<Reference>().is_ok());
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
        assert_eq!(problem("faultline"), Problem::NoTag("faultline".into()));
        assert_eq!(problem("ghcr.io/a:"), Problem::Tag(String::new()));
        assert_eq!(problem("ghcr.io/a:-x"), Problem::Tag("-x".into()));
        let long = "t".repeat(129);
        assert_eq!(problem(&format!("ghcr.io/a:{long}")), Problem::Tag(long));
        assert!(matches!(problem("ghcr.io/a:1@"), Problem::Digest(DigestError::Algorithm(_))));
        assert!(matches!(problem("ghcr.io/a:1@md5:00"), Problem::Digest(DigestError::Algorithm(_))));
        assert!(matches!(problem("ghcr.io/a:1@sha256:00"), Problem::Digest(DigestError::Hex(_))));
        assert_eq!(problem("oci::1.0"), Problem::NoDirectory);
        assert_eq!(problem("oci:"), Problem::NoDirectory);
        assert_eq!(problem("oci:out:"), Problem::Tag(String::new()));
        assert_eq!(problem("oci:out:a/b"), Problem::Tag("a/b".into()));
        assert!(matches!(problem("oci:out:1@sha256:00"), Problem::Digest(_)));
    }

    #[test]
    fn short_names_are_docker_hubs() {
        let digest = Digest::of(b"");
        for (text, whole) in [
            ("faultline:1.0".to_owned(), "docker.io/library/faultline:1.0".to_owned()),
            ("team/faultline:1.0".to_owned(), "docker.io/team/faultline:1.0".to_owned()),
            ("docker.io/faultline:1.0".to_owned(), "docker.io/library/faultline:1.0".to_owned()),
            (format!("faultline@{digest}"), format!("docker.io/library/faultline@{digest}")),
            ("a/b/c:1".to_owned(), "docker.io/a/b/c:1".to_owned()),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(reference.to_string(), whole);
            assert!(reference.completes(&text));
        }
        for whole in ["docker.io/team/faultline:1.0", "ghcr.io/a:1", "oci:out:1", "localhost:5000/a:1"] {
            assert!(!whole.parse::<Reference>().expect("a reference").completes(whole), "{whole}");
        }
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
