//! Creates and verifies signatures in cosign's `.sig` tag form, which cosign 2 and cosign 3 both verify with a public
//! key and no network but the registry.
//!
//! The signatures of an image are stored beside it as another image, under the tag `sha256-<hex>.sig`. Each of its
//! layers is a small JSON text ("simple signing") that names the digest of the signed image. An annotation of the layer
//! holds the signature over exactly these bytes. The bundles that cosign 3 writes by default are read too
//! ([`attestation`]), but not written. Certificates and transparency logs are not supported.

pub(crate) mod attestation;
pub(crate) mod blob;
pub(crate) mod key;
pub(crate) mod public_key;

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use indicatif::ProgressBar;
use oci_distribution::manifest::{IMAGE_CONFIG_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::reference::digest::Digest;
use crate::store::Store;
use crate::store::manifest::{Name, RawManifest, describe};
use public_key::PublicKey;

/// Media type of a layer that holds a signed text.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const TYPE: &str = "cosign container image signature";
/// How often a signature is added again that others overtook.
const ATTEMPTS: usize = 20;

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    optional: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    r#type: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// One signature of an image.
#[derive(Debug)]
pub(crate) struct Signature {
    layer: OciDescriptor,
    payload: Vec<u8>,
}

/// What a valid signature says.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// The repository that the signer named.
    pub(crate) identity: String,
}

/// The tag under which the signatures of an image are stored.
pub(crate) fn tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The number of signatures stored for an image, valid or not.
///
/// # Errors
/// When the store cannot be read, or the tag does not hold a manifest.
pub(crate) async fn count(store: &Store, digest: &Digest) -> anyhow::Result<usize> {
    Ok(manifest(store, digest).await?.map_or(0, |manifest| layers(&manifest).count()))
}

/// Fetches the signatures of an image.
///
/// # Errors
/// When the store cannot be read, or the tag does not hold a manifest.
pub(crate) async fn all(store: &Store, digest: &Digest) -> anyhow::Result<Vec<Signature>> {
    let mut found = Vec::new();
    if let Some(manifest) = manifest(store, digest).await? {
        for layer in layers(&manifest) {
            let payload = store.blob(layer, &ProgressBar::hidden()).await?;
            found.push(Signature { layer: layer.clone(), payload });
        }
    }
    Ok(found)
}

async fn manifest(store: &Store, digest: &Digest) -> anyhow::Result<Option<OciImageManifest>> {
    let tag = tag(digest);
    let Some(raw) = store.fetch(Name::Tag(&tag)).await? else { return Ok(None) };
    serde_json::from_slice(&raw.bytes).map(Some).with_context(|| format!("what is under the tag `{tag}` is no image"))
}

fn layers(manifest: &OciImageManifest) -> impl Iterator<Item = &OciDescriptor> {
    manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING)
}

impl Signature {
    /// Verifies that the signature was made with the private key for `key`, over a text that names `digest`.
    ///
    /// # Errors
    /// The reason why the signature is invalid.
    pub(crate) fn check(&self, key: &PublicKey, digest: &Digest) -> anyhow::Result<Claim> {
        let annotations = self.layer.annotations.as_ref();
        let encoded = annotations.and_then(|all| all.get(SIGNATURE)).context("it carries no signature")?;
        let der = BASE64_STANDARD.decode(encoded).context("its signature is not base64")?;
        ensure!(key.verifies(&self.payload, &der), "it was not made with this key");
        // The payload can be trusted only after the signature is verified.
        let payload: Payload = serde_json::from_slice(&self.payload).context("what it signs is not simple signing")?;
        ensure!(payload.critical.r#type == TYPE, "it is a `{}`, not a `{TYPE}`", payload.critical.r#type);
        let signed = payload.critical.image.docker_manifest_digest;
        ensure!(signed == digest.to_string(), "it is for another image, {signed}");
        Ok(Claim { identity: payload.critical.identity.docker_reference })
    }
}

/// Signs an image, unless this key has already validly signed it for the same name. Returns whether a signature was
/// added.
///
/// # Errors
/// When the store cannot be read from or written to.
pub(crate) async fn add(store: &Store, digest: &Digest, identity: &str, key: &SigningKey) -> anyhow::Result<bool> {
    // Another program may add a signature at the same time; then it is done again, so that none is lost.
    let mut added = false;
    for _ in 0..ATTEMPTS {
        match add_once(store, digest, identity, key).await? {
            Added::WasThere => return Ok(added),
            Added::Yes => added = true,
            Added::Overtaken => {}
        }
        // In a registry a program that had read the signatures before can still overwrite this one.
        if !store.settle().await && added {
            return Ok(true);
        }
    }
    bail!("others change the signatures of {digest} all the time; try again later")
}

/// How adding a signature ended.
enum Added {
    Yes,
    WasThere,
    /// The signatures had been changed meanwhile.
    Overtaken,
}

async fn add_once(store: &Store, digest: &Digest, identity: &str, key: &SigningKey) -> anyhow::Result<Added> {
    let claim = Claim { identity: identity.to_owned() };
    let before = store.head(Name::Tag(&tag(digest))).await?;
    let there = all(store, digest).await?;
    let public = PublicKey::from(key.verifying_key());
    if there.iter().any(|signature| signature.check(&public, digest).is_ok_and(|said| said == claim)) {
        return Ok(Added::WasThere);
    }
    let payload = serde_json::to_vec(&Payload {
        critical: Critical {
            identity: Identity { docker_reference: claim.identity },
            image: Image { docker_manifest_digest: digest.to_string() },
            r#type: TYPE.to_owned(),
        },
        optional: None,
    })?;
    let signature: DerSignature = key.sign(&payload);
    let mut layer = describe(SIMPLE_SIGNING, &payload);
    layer.annotations = Some(BTreeMap::from([(SIGNATURE.to_owned(), BASE64_STANDARD.encode(signature.as_bytes()))]));
    let layers: Vec<_> = there.into_iter().map(|signature| signature.layer).chain([layer]).collect();

    // The config that cosign writes: an image without platform and time.
    let digests: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
    let config = serde_json::to_vec(&json!({
        "architecture": "", "created": "0001-01-01T00:00:00Z", "history": [{"created": "0001-01-01T00:00:00Z"}],
        "os": "", "rootfs": {"type": "layers", "diff_ids": digests}, "config": {},
    }))?;
    for bytes in [&payload, &config] {
        store.put_blob(&Digest::of(bytes), &bytes.clone().into(), &ProgressBar::hidden()).await?;
    }
    let manifest = serde_json::to_vec(&OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: describe(IMAGE_CONFIG_MEDIA_TYPE, &config),
        layers,
        ..OciImageManifest::default()
    })?;
    let manifest = RawManifest::new(OCI_IMAGE_MEDIA_TYPE, manifest);
    let holds = store.replace(&manifest, &tag(digest), before.as_ref()).await?;
    Ok(if holds { Added::Yes } else { Added::Overtaken })
}
