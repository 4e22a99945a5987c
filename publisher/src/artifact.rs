//! The bytes that `push` publishes: a module as an OCI image in the "compat" form, the same for the same input on any machine.
//!
//! One OCI image manifest with a real image config and one gzip-compressed tar layer that holds `plugin.wasm`: of all the forms
//! in use, the one that Istio, Envoy Gateway, Higress, image tools (skopeo, crane) and Kubernetes image volumes all accept. Never
//! an index: a mesh compares the digest it is given with the image's own, which an index's never equals.
//!
//! What makes it reproducible: fixed tar and gzip headers, a fixed compression level and encoder, structs with a fixed field
//! order, and no time of day; `SOURCE_DATE_EPOCH` sets the times where one is wanted.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::digest::Digest;

/// The file that a mesh looks for in the layer.
pub const MODULE_FILE: &str = "plugin.wasm";

/// Manifest annotation that holds the version of what is inside.
pub const VERSION_ANNOTATION: &str = "org.opencontainers.image.version";

/// Config or layer: its descriptor in the manifest, and its bytes.
#[derive(Debug)]
pub struct Blob {
    /// Media type, digest, size and annotations.
    pub descriptor: OciDescriptor,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Everything that is to be published, in memory.
#[derive(Debug)]
pub struct Artifact {
    /// The manifest, exactly as it is published.
    pub manifest: Vec<u8>,
    /// The digest of the manifest: the artifact's identity.
    pub digest: Digest,
    /// The image config.
    pub config: Blob,
    /// The layer with the module.
    pub layer: Blob,
}

/// Media type of the manifest.
pub const MANIFEST_TYPE: &str = OCI_IMAGE_MEDIA_TYPE;

#[derive(Serialize)]
struct ImageConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    architecture: &'a str,
    os: &'a str,
    config: Empty,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: [String; 1],
}

/// What `SOURCE_DATE_EPOCH` can be wrong about.
#[derive(Debug, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH is `{0}`; set it to whole seconds since 1970, such as 1735689600, or unset it")]
pub struct EpochError(String);

/// Reads the value of `SOURCE_DATE_EPOCH`: seconds since 1970, up to the year 9999.
///
/// # Errors
/// When it is anything else.
pub fn source_date_epoch(value: &str) -> Result<OffsetDateTime, EpochError> {
    value
        .parse::<u64>()
        .ok()
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| EpochError(value.to_owned()))
}

/// Packs a module. `annotations` go on the manifest, over the standing ones.
///
/// # Errors
/// Never for want of memory or disk: only if a header cannot be written, which no input causes.
pub fn build(
    module: &[u8],
    annotations: &BTreeMap<String, String>,
    created: Option<OffsetDateTime>,
) -> anyhow::Result<Artifact> {
    let tar = tar(module, created)?;
    let diff_id = Digest::of(&tar);
    let stamp = created.map(|time| time.format(&Rfc3339)).transpose()?;

    let mut layer = blob(IMAGE_LAYER_GZIP_MEDIA_TYPE, gzip(&tar)?);
    // Without a title `oras pull` reports success and writes no file.
    layer.descriptor.annotations =
        Some(BTreeMap::from([("org.opencontainers.image.title".to_owned(), "plugin.tar.gz".to_owned())]));

    // The platform is what a mesh asks for whatever its nodes are: the module itself runs anywhere.
    let config = ImageConfig {
        created: stamp.as_deref(),
        architecture: "amd64",
        os: "linux",
        config: Empty {},
        rootfs: RootFs { r#type: "layers", diff_ids: [diff_id.to_string()] },
    };
    let config = blob(IMAGE_CONFIG_MEDIA_TYPE, serde_json::to_vec(&config)?);

    let mut all = standing_annotations();
    if let Some(stamp) = stamp {
        all.insert("org.opencontainers.image.created".to_owned(), stamp);
    }
    all.extend(annotations.clone());
    let manifest = serde_json::to_vec(&OciImageManifest {
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config: config.descriptor.clone(),
        layers: vec![layer.descriptor.clone()],
        annotations: Some(all),
        ..OciImageManifest::default()
    })?;
    Ok(Artifact { digest: Digest::of(&manifest), manifest, config, layer })
}

fn standing_annotations() -> BTreeMap<String, String> {
    [
        ("module.wasm.image/variant", "compat"),
        ("org.opencontainers.image.title", "faultline"),
        (
            "org.opencontainers.image.description",
            "Tells which endpoint of a mesh is failing, ejected or failed over from",
        ),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
        (VERSION_ANNOTATION, env!("CARGO_PKG_VERSION")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn blob(media_type: &str, bytes: Vec<u8>) -> Blob {
    let descriptor = OciDescriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(&bytes).to_string(),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    };
    Blob { descriptor, bytes }
}

fn tar(module: &[u8], created: Option<OffsetDateTime>) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(MODULE_FILE)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(created.map_or(0, |time| time.unix_timestamp().unsigned_abs()));
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::with_capacity(module.len() + 4096));
    archive.append(&header, module)?;
    archive.into_inner()
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // 255 is "unknown" in the gzip format: the name of the system that packed it must not show in the digest.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 kB with runs, repeats and noise, so that every path of the encoder is taken.
    fn module() -> Vec<u8> {
        let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        (0..100_000).map(|i: u32| if (i / 512).is_multiple_of(3) { noise(i) } else { (i / 64) as u8 }).collect()
    }

    fn built(annotations: &[(&str, &str)], created: Option<&str>) -> Artifact {
        let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        build(&module(), &annotations, created.map(|epoch| source_date_epoch(epoch).unwrap())).unwrap()
    }

    /// The golden digests. If this fails, what users have pushed can no longer be reproduced: an encoder, a header or a field
    /// order changed. Only a change that is meant, and in the change log, may alter them. The version is pinned here so that a
    /// release does not.
    #[test]
    fn the_bytes_do_not_change_between_builds_of_this_program() {
        let artifact = built(&[(VERSION_ANNOTATION, "0.0.0")], None);
        let digests =
            [&artifact.layer.descriptor.digest, &artifact.config.descriptor.digest, &artifact.digest.to_string()]
                .map(|digest| digest.to_owned());
        assert_eq!(
            digests,
            [
                "sha256:1811703f05362a5a5459f9037c05997fdfae30b875d58f5fa1622d32051431dc",
                "sha256:573d9448650ca505d47ecc254eb3e826cf358480ce21049e50b4558c976adfa5",
                "sha256:c4d33f5628fe031f29a34b9d6f9c23adb15ce67b5173158bdb629af7a858aaa1",
            ]
        );
        assert_eq!(
            built(&[(VERSION_ANNOTATION, "0.0.0")], Some("1735689600")).digest.to_string(),
            "sha256:78924196542ad3fa357891efbd7005b84167aae695ef5438a9444680623f2546"
        );
    }

    #[test]
    fn the_shape_is_the_one_that_meshes_accept() {
        let artifact = built(&[], None);
        let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest).unwrap();
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(manifest["annotations"]["module.wasm.image/variant"], "compat");
        assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));

        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(artifact.layer.bytes.as_slice()), &mut tar)
            .unwrap();
        let config: serde_json::Value = serde_json::from_slice(&artifact.config.bytes).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], Digest::of(&tar).to_string());
        assert_eq!((&config["os"], &config["architecture"]), (&"linux".into(), &"amd64".into()));
    }

    #[test]
    fn the_epoch_shows_in_every_time_and_a_bad_one_is_refused() {
        let artifact = built(&[], Some("1735689600"));
        let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&artifact.config.bytes).unwrap();
        assert_eq!(manifest["annotations"]["org.opencontainers.image.created"], "2025-01-01T00:00:00Z");
        assert_eq!(config["created"], "2025-01-01T00:00:00Z");
        for bad in ["", "-1", "soon", "1e9", "99999999999999", "18446744073709551616"] {
            assert!(source_date_epoch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn annotations_of_the_user_win() {
        let artifact = built(&[("org.opencontainers.image.title", "mine"), ("x", "y")], None);
        let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest).unwrap();
        assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "mine");
        assert_eq!(manifest["annotations"]["x"], "y");
    }
}
