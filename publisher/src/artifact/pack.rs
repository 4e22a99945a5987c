//! Packs a module into the artifact that `push` publishes. The same input gives the same bytes on every machine.
//!
//! The default is one OCI image manifest with a real image config and one gzip-compressed tar layer that holds
//! `plugin.wasm`. Of all the forms in use, this is the one that Istio, Envoy Gateway, Higress, image tools (skopeo,
//! crane) and Kubernetes image volumes all accept. No form serves both these and the CNCF's tools, so the other forms
//! get separate tags. It is never an index: a mesh compares the digest it is given with the image's own digest, which
//! is never that of an index.
//!
//! Builds are reproducible because tar and gzip headers are fixed ([`crate::artifact::archive`]), structs have a fixed
//! field order, and the time of day is not used. `SOURCE_DATE_EPOCH` sets the times if they are wanted.

use std::collections::BTreeMap;

use anyhow::bail;
use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE,
    IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::artifact::archive::{MODULE_FILE, Packed};
use crate::artifact::form::{CNCF_CONFIG, CNCF_LAYER, CONTENT_LAYER, Form, SOLO_CONFIG};
use crate::content::Content;
use crate::module::checks::Facts;
use crate::reference::digest::Digest;

/// Manifest annotation that holds the version of the content.
pub(crate) const VERSION_ANNOTATION: &str = "org.opencontainers.image.version";

const TITLE: &str = "org.opencontainers.image.title";

/// A config or a layer: its descriptor in the manifest, and its bytes.
#[derive(Debug)]
pub(crate) struct Blob {
    /// Media type, digest, size and annotations.
    pub(crate) descriptor: OciDescriptor,
    /// The content.
    pub(crate) content: Content,
}

/// What an artifact is made of.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The module's layer, for the forms of images.
    Layer(Packed, Content),
    /// The bare module, for the other forms.
    Module(Digest, Content),
}

/// A complete artifact, ready to be published.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// The manifest, byte for byte as published.
    pub(crate) manifest: Vec<u8>,
    /// Its media type.
    pub(crate) media_type: &'static str,
    /// The digest of the manifest: the artifact's identity.
    pub(crate) digest: Digest,
    /// The config.
    pub(crate) config: Blob,
    /// The layers; the module is in the last.
    pub(crate) layers: Vec<Blob>,
}

impl Artifact {
    /// Layers and config, without duplicates.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain(Some(&self.config).filter(|_| !self.config_is_layer()))
    }

    /// Whether the config is also a layer, as in the solo form.
    pub(crate) fn config_is_layer(&self) -> bool {
        self.layers.iter().any(|layer| layer.descriptor.digest == self.config.descriptor.digest)
    }

    /// Total size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.manifest.len() as u64 + self.blobs().map(|blob| blob.content.size()).sum::<u64>()
    }
}

/// `SOURCE_DATE_EPOCH` is malformed or out of range.
#[derive(Debug, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH is `{0}`; set it to whole seconds since 1970, such as 1735689600, or unset it")]
pub(crate) struct EpochError(String);

/// Parses `SOURCE_DATE_EPOCH`: seconds since 1970, up to the year 9999.
///
/// # Errors
/// For any other value.
pub(crate) fn source_date_epoch(value: &str) -> Result<OffsetDateTime, EpochError> {
    value
        .parse::<u64>()
        .ok()
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| EpochError(value.to_owned()))
}

/// Makes an artifact of a module. `annotations` go on the manifest and override those from the module's build
/// information.
///
/// # Errors
/// Only if the payload is not that of the form.
pub(crate) fn build(
    form: Form,
    payload: Payload,
    facts: &Facts,
    annotations: &BTreeMap<String, String>,
    created: Option<OffsetDateTime>,
) -> anyhow::Result<Artifact> {
    let stamp = created.map(|time| time.format(&Rfc3339)).transpose()?;
    let mut all = facts.annotations.clone();
    if let Some(stamp) = &stamp {
        all.insert("org.opencontainers.image.created".to_owned(), stamp.clone());
    }
    if form == Form::Oci {
        all.insert("module.wasm.image/variant".to_owned(), "compat".to_owned());
    }
    all.extend(annotations.clone());

    let (config, layers) = match (form, payload) {
        (Form::Oci | Form::Docker, Payload::Layer(packed, layer)) => {
            image(form, packed, layer, &all, stamp.as_deref())?
        }
        (Form::Solo, Payload::Module(digest, module)) => solo(&digest, module, facts)?,
        (Form::Cncf, Payload::Module(digest, module)) => cncf(&digest, module, stamp.as_deref())?,
        _ => bail!("a layer is for the forms oci and docker, a bare module for the others"),
    };
    let media_type = if form == Form::Docker { IMAGE_MANIFEST_MEDIA_TYPE } else { OCI_IMAGE_MEDIA_TYPE };
    let manifest = serde_json::to_vec(&OciImageManifest {
        media_type: Some(media_type.to_owned()),
        config: config.descriptor.clone(),
        layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        // Docker manifests have no annotations; there they become labels of the config.
        annotations: Some(all).filter(|_| form != Form::Docker),
        ..OciImageManifest::default()
    })?;
    Ok(Artifact { digest: Digest::of(&manifest), manifest, media_type, config, layers })
}

#[derive(Serialize)]
struct ImageConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    architecture: &'a str,
    os: &'a str,
    config: RunConfig<'a>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct RunConfig<'a> {
    #[serde(rename = "Labels", skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: [String; 1],
}

/// A container image with a single file.
fn image(
    form: Form,
    packed: Packed,
    layer: Content,
    annotations: &BTreeMap<String, String>,
    stamp: Option<&str>,
) -> anyhow::Result<(Blob, Vec<Blob>)> {
    let docker = form == Form::Docker;
    // A mesh always asks for this platform, whatever its nodes are; the module itself runs anywhere.
    let config = serde_json::to_vec(&ImageConfig {
        created: stamp,
        architecture: "amd64",
        os: "linux",
        config: RunConfig { labels: Some(annotations).filter(|_| docker) },
        rootfs: RootFs { r#type: "layers", diff_ids: [packed.diff_id.to_string()] },
    })?;
    let layer = |media_type| of_content(media_type, &packed.digest, layer);
    Ok(if docker {
        (blob(IMAGE_DOCKER_CONFIG_MEDIA_TYPE, config), vec![layer(IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE)])
    } else {
        let layer = titled("plugin.tar.gz", layer(IMAGE_LAYER_GZIP_MEDIA_TYPE));
        (blob(IMAGE_CONFIG_MEDIA_TYPE, config), vec![layer])
    })
}

/// Two layers: a description and the bare module. The description is also the config, as solo.io's tools expect.
fn solo(digest: &Digest, module: Content, facts: &Facts) -> anyhow::Result<(Blob, Vec<Blob>)> {
    let versions: Vec<String> = facts.abi.iter().map(|abi| format!("v{abi}")).collect();
    let description = serde_json::to_vec(
        &json!({"type": "envoy_proxy", "abiVersions": versions, "config": {"rootIds": ["faultline"]}}),
    )?;
    let layers = vec![
        titled("runtime-config.json", blob(SOLO_CONFIG, description.clone())),
        titled("filter.wasm", of_content(CONTENT_LAYER, digest, module)),
    ];
    Ok((blob(SOLO_CONFIG, description), layers))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [&'a str; 1],
}

/// The bare module as the only layer, with the config of the CNCF's TAG Runtime.
fn cncf(digest: &Digest, module: Content, stamp: Option<&str>) -> anyhow::Result<(Blob, Vec<Blob>)> {
    let layer = titled(MODULE_FILE, of_content(CNCF_LAYER, digest, module));
    let config = serde_json::to_vec(&WasmConfig {
        // The field is mandatory there. A time of day would give every push another digest.
        created: stamp.unwrap_or("1970-01-01T00:00:00Z"),
        architecture: "wasm",
        os: "wasip1",
        layer_digests: [&layer.descriptor.digest],
    })?;
    Ok((blob(CNCF_CONFIG, config), vec![layer]))
}

fn blob(media_type: &str, bytes: Vec<u8>) -> Blob {
    of_content(media_type, &Digest::of(&bytes), bytes.into())
}

fn of_content(media_type: &str, digest: &Digest, content: Content) -> Blob {
    let descriptor = OciDescriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size: i64::try_from(content.size()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    };
    Blob { descriptor, content }
}

/// Sets the file name of a layer. Without a title, `oras pull` reports success but writes no file.
fn titled(name: &str, mut blob: Blob) -> Blob {
    blob.descriptor.annotations = Some(BTreeMap::from([(TITLE.to_owned(), name.to_owned())]));
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_whole_seconds_up_to_the_year_9999() {
        assert_eq!(source_date_epoch("1735689600").unwrap().format(&Rfc3339).unwrap(), "2025-01-01T00:00:00Z");
        for bad in ["", "-1", "soon", "1e9", "99999999999999", "18446744073709551616"] {
            assert!(source_date_epoch(bad).is_err(), "{bad}");
        }
    }
}
