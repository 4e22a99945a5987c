//! Public keys, and what they verify: the kinds of keys that cosign takes.

use anyhow::{anyhow, bail, ensure};
use p256::ecdsa::VerifyingKey;
use p256::pkcs8::der::asn1::ObjectIdentifier;
use p256::pkcs8::der::{Decode, pem};
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The algorithms with which cosign signs with each kind of key: it hashes by SHA-256, newer versions by what is usual
/// for the key.
static OF_P256: [&dyn VerificationAlgorithm; 1] = [&signature::ECDSA_P256_SHA256_ASN1];
static OF_P384: [&dyn VerificationAlgorithm; 2] =
    [&signature::ECDSA_P384_SHA384_ASN1, &signature::ECDSA_P384_SHA256_ASN1];
static OF_ED25519: [&dyn VerificationAlgorithm; 1] = [&signature::ED25519];
static OF_RSA: [&dyn VerificationAlgorithm; 6] = [
    &signature::RSA_PKCS1_2048_8192_SHA256,
    &signature::RSA_PKCS1_2048_8192_SHA384,
    &signature::RSA_PKCS1_2048_8192_SHA512,
    &signature::RSA_PSS_2048_8192_SHA256,
    &signature::RSA_PSS_2048_8192_SHA384,
    &signature::RSA_PSS_2048_8192_SHA512,
];

/// A public key.
pub(crate) struct PublicKey {
    algorithms: &'static [&'static dyn VerificationAlgorithm],
    bytes: Vec<u8>,
}

impl From<&VerifyingKey> for PublicKey {
    fn from(key: &VerifyingKey) -> Self {
        Self { algorithms: &OF_P256, bytes: key.to_sec1_point(false).as_bytes().to_vec() }
    }
}

impl PublicKey {
    /// Reads PEM.
    ///
    /// # Errors
    /// When it is no public key, or one of another kind.
    pub(crate) fn from_pem(text: &str) -> anyhow::Result<Self> {
        let (label, der) =
            pem::decode_vec(text.trim().as_bytes()).map_err(|_| anyhow!("it is no public key in PEM"))?;
        if label == "RSA PUBLIC KEY" {
            return Ok(Self { algorithms: &OF_RSA, bytes: der });
        }
        ensure!(label == "PUBLIC KEY", "it holds `{label}`, no public key");
        let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| anyhow!("its PEM is damaged"))?;
        let parameters = info.algorithm.parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let algorithms: &[_] = match (info.algorithm.oid, parameters) {
            (ELLIPTIC_CURVE, Some(P256)) => &OF_P256,
            (ELLIPTIC_CURVE, Some(P384)) => &OF_P384,
            (RSA, _) => &OF_RSA,
            (ED25519, _) => &OF_ED25519,
            _ => bail!("it is of a kind that is not known here: ECDSA on P-256 or P-384, RSA and Ed25519 are"),
        };
        Ok(Self { algorithms, bytes: info.subject_public_key.raw_bytes().to_vec() })
    }

    /// Whether this key's owner signed the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*algorithm, &self.bytes).verify(message, signature).is_ok()
        };
        self.algorithms.iter().any(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_public_key_is_called_so() {
        for (text, words) in [
            ("", "no public key in PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "`CERTIFICATE`"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "damaged"),
        ] {
            let error = PublicKey::from_pem(text).err().expect(text).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
