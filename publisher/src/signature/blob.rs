//! Signatures of files, as `cosign sign-blob` makes them: base64 of an ECDSA signature over the file's SHA-256. openssl
//! verifies them too.

use anyhow::{Context, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use serde_json::Value;

use super::public_key::PublicKey;

/// The signature of `content`; the same key and content give the same one.
pub(crate) fn sign(content: &[u8], key: &SigningKey) -> String {
    let signature: DerSignature = key.sign(content);
    BASE64_STANDARD.encode(signature.as_bytes())
}

/// Verifies that `signature` was made of `content` with the private key for `key`: base64 or the bytes themselves, as
/// openssl writes them, or a bundle of cosign's that holds it.
///
/// # Errors
/// The reason why it was not.
pub(crate) fn check(content: &[u8], signature: &[u8], key: &PublicKey) -> anyhow::Result<()> {
    let signature = plain(signature)?;
    ensure!(key.verifies(content, &signature), "the signature was not made of this content with this key");
    Ok(())
}

/// The signature without what is around it.
fn plain(signature: &[u8]) -> anyhow::Result<Vec<u8>> {
    let Some(text) = std::str::from_utf8(signature).ok().map(str::trim) else { return Ok(signature.to_vec()) };
    if !text.starts_with('{') {
        // `base64` breaks it into lines.
        let line: String = text.split_ascii_whitespace().collect();
        return match BASE64_STANDARD.decode(line) {
            Ok(plain) => Ok(plain),
            // The bytes of a signature in ASN.1 may be text by chance.
            Err(_)
                if text.starts_with('0')
                    && text.bytes().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) =>
            {
                Ok(signature.to_vec())
            }
            Err(error) => Err(error).context("the signature is not base64"),
        };
    }
    let bundle: Value = serde_json::from_str(text).context("its bundle is malformed")?;
    let encoded = match (&bundle["base64Signature"], &bundle["messageSignature"]["signature"]) {
        // cosign 2's own form.
        (Value::String(encoded), _) => {
            let by_key = bundle["cert"].as_str().is_none_or(str::is_empty);
            ensure!(by_key, CERTIFICATE);
            encoded
        }
        (_, Value::String(encoded)) => {
            ensure!(bundle["verificationMaterial"]["publicKey"].is_object(), CERTIFICATE);
            encoded
        }
        _ => bail!("its bundle holds no signature of a file"),
    };
    BASE64_STANDARD.decode(encoded).context("the signature in its bundle is not base64")
}

/// What is said of a bundle that only the transparency log can vouch for. A key in a certificate may be its.
const CERTIFICATE: &str =
    "it was made with a certificate, not with a key; `cosign verify-blob` asks the transparency log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_found_in_every_form() {
        let der = b"0\x06\x02\x01\x01\x02\x01\x01";
        let encoded = BASE64_STANDARD.encode(der);
        for form in [
            der.to_vec(),
            format!("{encoded}\n").into_bytes(),
            format!("{}\r\n{}\r\n", &encoded[..4], &encoded[4..]).into_bytes(),
            format!(r#"{{"base64Signature": "{encoded}", "cert": ""}}"#).into_bytes(),
            format!(
                r#"{{"verificationMaterial": {{"publicKey": {{"hint": "x"}}}}, "messageSignature": {{"signature": "{encoded}"}}}}"#
            )
            .into_bytes(),
        ] {
            assert_eq!(plain(&form).unwrap(), der, "{}", String::from_utf8_lossy(&form));
        }
        for (form, words) in [
            ("nonsense!", "not base64"),
            ("{", "malformed"),
            (r#"{"dsseEnvelope": {}}"#, "no signature of a file"),
            (r#"{"base64Signature": "AAAA", "cert": "LS0t"}"#, "with a certificate"),
            (
                r#"{"verificationMaterial": {"certificate": {}}, "messageSignature": {"signature": "AAAA"}}"#,
                "with a certificate",
            ),
        ] {
            let error = format!("{:#}", plain(form.as_bytes()).unwrap_err());
            assert!(error.contains(words), "{form}: {error}");
        }
    }
}
