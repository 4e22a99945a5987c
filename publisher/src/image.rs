//! Reads images as Istio's agent does: which of the three shapes it accepts is this, and where is the module in it.
//!
//! The rules are the agent's own, to the letter (`pkg/wasm/imagefetcher.go`); Envoy Gateway and Higress carry the same code. What
//! is not looked at there (config, annotations, artifact type) is not looked at here.

use std::io::Read;

use oci_distribution::manifest::{
    IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OciDescriptor,
    OciImageManifest,
};
use serde::Serialize;

use crate::artifact::MODULE_FILE;

/// Layer type of a bare module in the two-layer form.
const CONTENT_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// Bytes that a mesh unpacks at most (`ISTIO_WASM_MAX_BINARY_SIZE_BYTES`, by default).
pub const MAX_UNPACKED: u64 = 256 * 1024 * 1024;

/// A shape of image that a mesh accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A Docker image whose last layer holds `plugin.wasm`.
    Docker,
    /// An OCI image whose last layer, tar and gzip, holds `plugin.wasm`: what `push` makes.
    Compat,
    /// Two layers, one of them the bare module.
    Oci,
}

impl Form {
    /// In a few words, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Docker => "docker (plugin.wasm in the last layer of a Docker image)",
            Self::Compat => "compat (plugin.wasm in the last layer of an OCI image)",
            Self::Oci => "oci (two layers, one of them the bare module)",
        }
    }
}

/// Why no module can be had from an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A Docker manifest with something else in its last layer.
    #[error("its last layer is `{0}`; in a Docker image a mesh accepts only `{IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE}`")]
    DockerLayer(String),
    /// Neither of the two shapes for OCI manifests.
    #[error(
        "no mesh accepts its shape: the last of its {layers} layers is `{last}`, where `{IMAGE_LAYER_GZIP_MEDIA_TYPE}` with \
         {MODULE_FILE} inside is wanted, or exactly two layers with one `{CONTENT_LAYER}`; publish it again with `faultline push`"
    )]
    Shape {
        /// Number of layers.
        layers: usize,
        /// Media type of the last one.
        last: String,
    },
    /// The archive cannot be read.
    #[error("its layer cannot be unpacked ({0}); publish it again")]
    Archive(String),
    /// The archive holds other files only.
    #[error("there is no {MODULE_FILE} in its layer; publish it again with `faultline push`")]
    NoModule,
    /// Larger than a mesh unpacks.
    #[error("its layer unpacks to more than {} MiB, which is the most that a mesh accepts", MAX_UNPACKED >> 20)]
    TooLarge,
}

/// Tells the form of an image, and which of its layers holds the module.
///
/// # Errors
/// When it has none of the accepted shapes.
pub fn classify(manifest: &OciImageManifest) -> Result<(Form, &OciDescriptor), ImageError> {
    let last = manifest.layers.last();
    let last_type = last.map_or("none", |layer| layer.media_type.as_str());
    if manifest.media_type.as_deref() == Some(IMAGE_MANIFEST_MEDIA_TYPE) {
        return match last {
            Some(layer) if layer.media_type == IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE => Ok((Form::Docker, layer)),
            _ => Err(ImageError::DockerLayer(last_type.to_owned())),
        };
    }
    if let Some(layer) = last.filter(|layer| layer.media_type == IMAGE_LAYER_GZIP_MEDIA_TYPE) {
        return Ok((Form::Compat, layer));
    }
    match manifest.layers.iter().find(|layer| layer.media_type == CONTENT_LAYER) {
        Some(layer) if manifest.layers.len() == 2 => Ok((Form::Oci, layer)),
        _ => Err(ImageError::Shape { layers: manifest.layers.len(), last: last_type.to_owned() }),
    }
}

/// Takes the module out of the layer that [`classify`] named.
///
/// # Errors
/// When the layer is damaged, too large, or holds no module.
pub fn extract(form: Form, layer: Vec<u8>) -> Result<Vec<u8>, ImageError> {
    if form == Form::Oci {
        return Ok(layer);
    }
    let unpacked = flate2::read::GzDecoder::new(layer.as_slice()).take(MAX_UNPACKED + 1);
    let damaged = |error: std::io::Error| ImageError::Archive(error.to_string());
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if entry.path().map_err(damaged)?.file_name() != Some(MODULE_FILE.as_ref()) {
            continue;
        }
        if entry.size() > MAX_UNPACKED {
            return Err(ImageError::TooLarge);
        }
        let mut module = Vec::new();
        entry.read_to_end(&mut module).map_err(damaged)?;
        return Ok(module);
    }
    Err(ImageError::NoModule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn manifest(media_type: Option<&str>, layers: &[&str]) -> OciImageManifest {
        let layer =
            |media_type: &&str| OciDescriptor { media_type: (*media_type).to_owned(), ..OciDescriptor::default() };
        OciImageManifest {
            media_type: media_type.map(str::to_owned),
            layers: layers.iter().map(layer).collect(),
            ..OciImageManifest::default()
        }
    }

    fn form(media_type: Option<&str>, layers: &[&str]) -> Result<Form, ImageError> {
        classify(&manifest(media_type, layers)).map(|(form, _)| form)
    }

    #[test]
    fn the_three_accepted_shapes_are_told_apart() {
        let (docker, compat) = (IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE);
        assert_eq!(form(Some(IMAGE_MANIFEST_MEDIA_TYPE), &["x", docker]), Ok(Form::Docker));
        assert_eq!(form(None, &["x", "y", compat]), Ok(Form::Compat));
        assert_eq!(form(None, &[CONTENT_LAYER, "x"]), Ok(Form::Oci));
    }

    #[test]
    fn other_shapes_are_refused_as_a_mesh_refuses_them() {
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        assert_eq!(form(Some(IMAGE_MANIFEST_MEDIA_TYPE), &[zstd]), Err(ImageError::DockerLayer(zstd.into())));
        for layers in [&["application/wasm"][..], &[CONTENT_LAYER], &[CONTENT_LAYER, "x", "y"], &[zstd], &[]] {
            assert!(matches!(form(None, layers), Err(ImageError::Shape { layers: n, .. }) if n == layers.len()));
        }
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        let artifact = crate::artifact::build(b"\0asm the module", &BTreeMap::new(), None).unwrap();
        assert_eq!(extract(Form::Compat, artifact.layer.bytes.clone()).unwrap(), b"\0asm the module");
        assert_eq!(extract(Form::Oci, b"bare".to_vec()).unwrap(), b"bare");
        let half = artifact.layer.bytes[..artifact.layer.bytes.len() / 2].to_vec();
        assert!(matches!(extract(Form::Compat, half), Err(ImageError::Archive(_))));
        assert!(matches!(extract(Form::Compat, b"no gzip".to_vec()), Err(ImageError::Archive(_))));
    }
}
