//! Signatures of files, as `cosign sign-blob` makes them: base64 of an ECDSA signature over the file's SHA-256. openssl
//! verifies them too.

use anyhow::{Context, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};

use super::public_key::PublicKey;

/// The signature of `content`; the same key and content give the same one.
pub(crate) fn sign(content: &[u8], key: &SigningKey) -> String {
    let signature: DerSignature = key.sign(content);
    BASE64_STANDARD.encode(signature.as_bytes())
}

/// Verifies that `signature` was made of `content` with the private key for `key`.
///
/// # Errors
/// The reason why it was not.
pub(crate) fn check(content: &[u8], signature: &str, key: &PublicKey) -> anyhow::Result<()> {
    let signature = BASE64_STANDARD.decode(signature.trim()).context("the signature is not base64")?;
    ensure!(key.verifies(content, &signature), "the signature was not made of this content with this key");
    Ok(())
}
