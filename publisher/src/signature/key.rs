//! Reads and writes signing keys: cosign's key files, and the PEM files that openssl writes.
//!
//! cosign encrypts a private key with a password (scrypt, then NaCl's secretbox, in JSON, in PEM). Plain PEM is read
//! too, so that a key can come from anywhere, but it is never written. Private keys are ECDSA on P-256, the kind that
//! cosign makes; public ones may be of other kinds ([`PublicKey`]). `env://NAME` stands for a key in an environment
//! variable.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use p256::pkcs8::der::pem;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use serde::{Deserialize, Serialize};

use super::public_key::PublicKey;

/// The PEM label that cosign writes.
const ENCRYPTED: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// The PEM label that cosign 1 wrote.
const ENCRYPTED_BEFORE: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// scrypt's cost parameter for new keys, the same as cosign's. A file with a cost above the second constant is refused,
/// so that it cannot ask for gigabytes of memory.
const COST: u64 = 65_536;
const COST_AT_MOST: u64 = 1 << 20;
const BLOCK: u32 = 8;
const PARALLEL: u32 = 1;

/// The environment variable that holds the password; cosign uses the same.
pub(crate) const PASSWORD_VARIABLE: &str = "COSIGN_PASSWORD";

#[derive(Serialize, Deserialize)]
struct Envelope {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Reads a private key; `password` is called only if the key is encrypted.
///
/// # Errors
/// When the key cannot be read or is of another kind, or the password is wrong.
pub(crate) fn private(path: &Path, password: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<SigningKey> {
    let text = text(path)?;
    open(&text, password).with_context(|| format!("key `{}`", path.display()))
}

fn open(text: &str, password: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<SigningKey> {
    // openssl puts the curve's parameters before the key.
    let start = text.match_indices("-----BEGIN ").map(|(at, _)| at).find(|at| text[*at..].contains("PRIVATE KEY-----"));
    let start = start
        .filter(|at| !text[*at..].starts_with("-----BEGIN EC PARAMETERS"))
        .or_else(|| text.find("-----BEGIN EC PRIVATE"));
    let Some(text) = start.map(|at| &text[at..]) else {
        bail!("it is no private key in PEM; `faultline generate-key-pair` makes one");
    };
    let wrong_kind = || anyhow!("it is no ECDSA key on P-256, the kind that cosign makes");
    if text.starts_with("-----BEGIN PRIVATE KEY") {
        return SigningKey::from_pkcs8_pem(text.trim()).map_err(|_| wrong_kind());
    }
    if text.starts_with("-----BEGIN EC PRIVATE KEY") {
        return SecretKey::from_sec1_pem(text.trim()).map(SigningKey::from).map_err(|_| wrong_kind());
    }
    let (label, envelope) =
        pem::decode_vec(text.trim().as_bytes()).map_err(|error| anyhow!("its PEM is damaged ({error})"))?;
    ensure!(
        [ENCRYPTED, ENCRYPTED_BEFORE].contains(&label),
        "it holds `{label}`; wanted is cosign's `{ENCRYPTED}` or an unencrypted PKCS#8 key, as `openssl pkcs8 -topk8 \
            -nocrypt` writes it"
    );
    let envelope: Envelope = serde_json::from_slice(&envelope).context("its encryption cannot be read")?;
    let plain = decrypt(&envelope, &password()?)?;
    SigningKey::from_pkcs8_der(&plain).map_err(|_| wrong_kind())
}

fn decrypt(envelope: &Envelope, password: &str) -> anyhow::Result<Vec<u8>> {
    let Params { n, r, p } = envelope.kdf.params;
    ensure!(
        envelope.kdf.name == "scrypt" && envelope.cipher.name == "nacl/secretbox",
        "it is encrypted with {} and {}; only scrypt and nacl/secretbox are known",
        envelope.kdf.name,
        envelope.cipher.name
    );
    ensure!(
        n.is_power_of_two() && n <= COST_AT_MOST && r <= 32 && p <= 16,
        "its parameters for scrypt are out of range"
    );
    let bytes = |text: &str| BASE64_STANDARD.decode(text).context("its encryption is damaged");
    let (salt, nonce, sealed) =
        (bytes(&envelope.kdf.salt)?, bytes(&envelope.cipher.nonce)?, bytes(&envelope.ciphertext)?);
    ensure!(nonce.len() == 24, "its encryption is damaged");
    secretbox(password, &salt, n, r, p)?.decrypt(Nonce::from_slice(&nonce), sealed.as_slice()).map_err(|_| {
        anyhow!("the password is wrong; it is taken from {PASSWORD_VARIABLE}, else from standard input or a terminal")
    })
}

fn secretbox(password: &str, salt: &[u8], n: u64, r: u32, p: u32) -> anyhow::Result<XSalsa20Poly1305> {
    let log_n = u8::try_from(n.ilog2()).context("scrypt's cost")?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|error| anyhow!("scrypt's parameters: {error}"))?;
    let mut key = [0; 32];
    scrypt::scrypt(password.as_bytes(), salt, &params, &mut key).map_err(|error| anyhow!("scrypt: {error}"))?;
    Ok(XSalsa20Poly1305::new(Key::from_slice(&key)))
}

/// Generates a key pair: the private key, encrypted as cosign does it, and the public key, both in PEM.
///
/// # Errors
/// When the system provides no random numbers.
pub(crate) fn generate(password: &str) -> anyhow::Result<(String, String)> {
    let key = SigningKey::try_generate().map_err(|error| anyhow!("no random numbers: {error}"))?;
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    for bytes in [&mut salt[..], &mut nonce[..]] {
        getrandom::fill(bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    }
    let plain = key.to_pkcs8_der().map_err(|error| anyhow!("cannot encode the key: {error}"))?;
    let sealed = secretbox(password, &salt, COST, BLOCK, PARALLEL)?
        .encrypt(Nonce::from_slice(&nonce), plain.as_bytes())
        .map_err(|_| anyhow!("cannot encrypt the key"))?;
    let envelope = serde_json::to_vec(&Envelope {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Params { n: COST, r: BLOCK, p: PARALLEL },
            salt: BASE64_STANDARD.encode(salt),
        },
        cipher: Cipher { name: "nacl/secretbox".to_owned(), nonce: BASE64_STANDARD.encode(nonce) },
        ciphertext: BASE64_STANDARD.encode(sealed),
    })?;
    let private = pem::encode_string(ENCRYPTED, LineEnding::LF, &envelope)
        .map_err(|error| anyhow!("cannot encode the key: {error}"))?;
    let public = key
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| anyhow!("cannot encode the key: {error}"))?;
    Ok((private, public))
}

/// Reads a public key.
///
/// # Errors
/// When the key cannot be read or is of another kind.
pub(crate) fn public(path: &Path) -> anyhow::Result<PublicKey> {
    let text = text(path)?;
    ensure!(
        !text.contains("PRIVATE KEY-----"),
        "`{}` is a private key; give the public one, cosign.pub",
        path.display()
    );
    PublicKey::from_pem(&text).with_context(|| format!("key `{}`", path.display()))
}

/// The text of a key: of a file, or with `env://NAME` of an environment variable.
fn text(path: &Path) -> anyhow::Result<String> {
    match path.to_str().and_then(|path| path.split_once("://")) {
        Some(("env", name)) => std::env::var(name).with_context(|| format!("the key `env://{name}`: no such variable")),
        Some((scheme, _)) => bail!("keys of `{scheme}://` are not supported; give a file or env://NAME"),
        None => std::fs::read_to_string(path).with_context(|| format!("cannot read the key `{}`", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_with_its_password_only() {
        let (private, public) = generate("correct horse").unwrap();
        let key = open(&private, || Ok("correct horse".to_owned())).unwrap();
        assert_eq!(key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap(), public);
        let wrong = open(&private, || Ok("battery".to_owned())).unwrap_err();
        assert!(format!("{wrong:#}").contains("password is wrong"), "{wrong:#}");
        assert!(!format!("{wrong:#}").contains("battery"));
    }

    #[test]
    fn what_is_no_key_is_called_so() {
        let no_password = || -> anyhow::Result<String> { panic!("it is not encrypted") };
        for (text, words) in [
            ("", "no private key in PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no private key in PEM"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no ECDSA key on P-256"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "openssl pkcs8"),
        ] {
            let error = format!("{:#}", open(text, no_password).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
