//! A sha256 digest in OCI's form: `sha256:` and 64 lower-case hexadecimal digits.
//!
//! It is parsed once, so that no other file handles half-checked digest strings. Only sha256 is supported: every
//! registry serves it, and a WasmPlugin's `sha256` field can hold nothing else.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A valid sha256 digest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.push(bytes);
        hasher.finish()
    }

    /// The 64 hexadecimal digits without `sha256:`, the form of a WasmPlugin's `sha256` field.
    pub(crate) fn hex(&self) -> &str {
        &self.0
    }
}

/// The digest of bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher(sha2::Sha256);

impl Hasher {
    /// Takes a piece.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Why a string is not a digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DigestError {
    /// It does not start with `sha256:`.
    #[error("a digest starts with `sha256:`, got `{0}`")]
    Algorithm(String),
    /// It is not followed by 64 lower-case hexadecimal digits.
    #[error("`sha256:` is followed by 64 lower-case hexadecimal digits, got `{0}` ({n} \
        characters)", n = .0.chars().count())]
    Hex(String),
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or_else(|| DigestError::Algorithm(text.to_owned()))?;
        if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(hex.to_owned()))
        } else {
            Err(DigestError::Hex(hex.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one_and_reads_back() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn other_algorithms_and_lengths_are_refused() {
        assert!(matches!("sha512:aa".parse::<Digest>(), Err(DigestError::Algorithm(_))));
        assert!(matches!("sha256:aa".parse::<Digest>(), Err(DigestError::Hex(_))));
        assert!(matches!(format!("sha256:{}", "A".repeat(64)).parse::<Digest>(), Err(DigestError::Hex(_))));
    }
}
