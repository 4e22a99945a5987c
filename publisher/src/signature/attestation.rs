//! Reads sigstore bundles and attestations: statements about an image, signed in a DSSE envelope.
//!
//! cosign 2 keeps attestations as layers of an image under the tag `sha256-<hex>.att`. cosign 3 attaches bundles, each
//! with one envelope; its signatures are bundles too, with a statement of a type of their own. Only what a key signed
//! can be verified: certificates mean nothing without the transparency log, which is not asked.

use anyhow::{Context, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use indicatif::ProgressBar;
use oci_distribution::manifest::{OciDescriptor, OciImageManifest};
use serde::Deserialize;
use serde_json::Value;

use super::public_key::PublicKey;
use crate::reference::digest::Digest;
use crate::store::manifest::Name;
use crate::store::{Store, attachments};

/// Artifact type of bundles, without their version.
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The statement by which cosign 3 signs an image.
pub(crate) const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// Media type of an envelope in a layer.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The type of what an envelope holds.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// The most bytes of a bundle or an envelope that are read.
const MOST: i64 = 64 * 1024 * 1024;

/// The names that cosign has for types of statements.
const SHORT: [(&str, &str); 9] = [
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
];

/// The whole name of a statement's type, of which cosign's short one may be given.
pub(crate) fn whole_type(name: &str) -> &str {
    SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, whole)| whole)
}

/// An envelope: what is signed, and the signatures over it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// A statement about an image, as found: not verified yet.
#[derive(Debug)]
pub(crate) struct Attestation {
    content: anyhow::Result<Envelope>,
}

/// What a verified statement says.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The type of the statement.
    pub(crate) predicate_type: String,
}

/// Fetches the statements about an image. The second value says why there may be more, if there may.
///
/// # Errors
/// When the store cannot be read. What is malformed is an invalid statement, not an error.
pub(crate) async fn all(store: &Store, digest: &Digest) -> anyhow::Result<(Vec<Attestation>, Option<String>)> {
    let mut found = Vec::new();
    let tag = format!("sha256-{}.att", digest.hex());
    if let Some(raw) = store.fetch(Name::Tag(&tag)).await? {
        let manifest: OciImageManifest =
            serde_json::from_slice(&raw.bytes).with_context(|| format!("what is under the tag `{tag}` is no image"))?;
        for layer in manifest.layers.iter().filter(|layer| layer.media_type == ENVELOPE) {
            let bytes = small(store, layer).await?;
            found.push(Attestation { content: serde_json::from_slice(&bytes).context("its envelope is malformed") });
        }
    }
    let (attached, remark) = attachments::list(store, digest).await?;
    for document in attached.iter().filter(|document| document.artifact_type.starts_with(BUNDLE)) {
        let digest: Digest = document.digest.parse().context("the list of what is attached is malformed")?;
        let Some(raw) = store.fetch(Name::Digest(&digest)).await? else { continue };
        let manifest: OciImageManifest =
            serde_json::from_slice(&raw.bytes).with_context(|| format!("the manifest of {digest} cannot be read"))?;
        for layer in manifest.layers.iter().filter(|layer| layer.media_type.starts_with(BUNDLE)) {
            found.push(Attestation { content: envelope(&small(store, layer).await?) });
        }
    }
    Ok((found, remark))
}

async fn small(store: &Store, layer: &OciDescriptor) -> anyhow::Result<Vec<u8>> {
    ensure!(layer.size <= MOST, "a signature of {} bytes is none", layer.size);
    store.blob(layer, &ProgressBar::hidden()).await
}

/// The envelope in a bundle.
fn envelope(bundle: &[u8]) -> anyhow::Result<Envelope> {
    let bundle: Value = serde_json::from_slice(bundle).context("its bundle is malformed")?;
    let by_key = bundle["verificationMaterial"]["publicKey"].is_object();
    ensure!(by_key, "it was made with a certificate, not with a key; `cosign verify` asks the transparency log");
    match &bundle["dsseEnvelope"] {
        Value::Null => bail!("its bundle holds no statement"),
        envelope => Envelope::deserialize(envelope).context("its envelope is malformed"),
    }
}

impl Attestation {
    /// Verifies that the statement was made with the private key for `key`, and is about `digest`.
    ///
    /// # Errors
    /// The reason why it is invalid.
    pub(crate) fn check(&self, key: &PublicKey, digest: &Digest) -> anyhow::Result<Statement> {
        let envelope = self.content.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let payload = BASE64_STANDARD.decode(&envelope.payload).context("its statement is not base64")?;
        let signed = pre_authenticated(&envelope.payload_type, &payload);
        let is_valid = |it: &EnvelopeSignature| {
            BASE64_STANDARD.decode(&it.sig).is_ok_and(|signature| key.verifies(&signed, &signature))
        };
        ensure!(envelope.signatures.iter().any(is_valid), "it was not made with this key");
        // The statement can be trusted only after the signature is verified.
        ensure!(envelope.payload_type == STATEMENT, "it holds `{}`, no statement", envelope.payload_type);
        let statement: Value = serde_json::from_slice(&payload).context("its statement is malformed")?;
        let subjects = statement["subject"].as_array().context("its statement is about nothing")?;
        let about = |subject: &Value| subject["digest"]["sha256"] == digest.hex();
        ensure!(subjects.iter().any(about), "it is about another image");
        let predicate_type = statement["predicateType"].as_str().unwrap_or_default().to_owned();
        Ok(Statement { predicate_type })
    }
}

/// What a signature in an envelope is over (DSSE's pre-authentication encoding).
fn pre_authenticated(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let encoded = pre_authenticated("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn only_bundles_of_a_key_are_read() {
        let by_certificate = br#"{"verificationMaterial":{"certificate":{}},"dsseEnvelope":{}}"#;
        assert!(envelope(by_certificate).unwrap_err().to_string().contains("with a certificate"));
        let empty = br#"{"verificationMaterial":{"publicKey":{}},"messageSignature":{}}"#;
        assert!(envelope(empty).unwrap_err().to_string().contains("holds no statement"));
        assert!(envelope(b"x").unwrap_err().to_string().contains("malformed"));
    }
}
