//! Decides which programs can use an image: one verdict for each program that people point at such images.
//!
//! Each rule is the program's observed behaviour or comes from its source. Whether the registry can be reached from
//! there, and with which credentials, is unknown here. A problem includes the program's own error message, if it has
//! one, because that is what people see first.

use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciImageManifest,
};
use serde::Serialize;
use serde_json::Value;

use crate::artifact::form::{CNCF_CONFIG, CNCF_LAYER, ImageError};
use crate::module::ModuleError;
use crate::reference::digest::Digest;

const TITLE: &str = "org.opencontainers.image.title";

/// What crane takes for the layers of a container image (`IsLayer` in its `pkg/v1/types`).
const CRANE_LAYERS: [&str; 8] = [
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
];

/// The verdict of one consumer on an image.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Name of the consumer.
    pub(crate) consumer: &'static str,
    /// Whether it would load the module or, if it is a tool, do its work.
    pub(crate) loads: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    /// The message with which the consumer reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) says: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// Why a mesh cannot run what an image holds.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The image has a shape that the mesh rejects, or is damaged.
    Image(ImageError),
    /// The module cannot be started.
    Module(ModuleError),
}

/// The parts of an image that consumers look at.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// The REF as given.
    pub(crate) reference: &'a str,
    /// The digest of the image.
    pub(crate) digest: &'a Digest,
    /// The index that the REF pins by digest, if it does.
    pub(crate) pinned_index: Option<&'a Digest>,
    /// The manifest.
    pub(crate) manifest: &'a OciImageManifest,
    /// The config, if it is JSON.
    pub(crate) config: Option<&'a Value>,
    /// The reason why a mesh could not load it, if any.
    pub(crate) fault: Option<&'a LoadError>,
}

impl Image<'_> {
    /// The verdicts, Istio's first.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        let mesh = ["istio", "envoy-gateway", "higress"].map(|consumer| Verdict { consumer, ..self.mesh() });
        let others = [self.envoy(), self.image_volume(), self.wkg(), self.runwasi(), self.oras()];
        mesh.into_iter().chain(others).chain([self.skopeo(), self.crane()]).collect()
    }

    /// Istio's agent; Envoy Gateway and Higress reuse its code.
    fn mesh(&self) -> Verdict {
        if let Some(index) = self.pinned_index {
            let (child, index) = (self.digest.hex(), index.hex());
            return Verdict {
                problem: Some(
                    "the digest is that of an index; it is compared with the digest of the image in it".into(),
                ),
                says: Some(format!(
                    "module downloaded from oci://{} has checksum {child}, which does not match: {index}",
                    self.reference
                )),
                remedy: Some(format!("pin {}, the image's own digest", self.digest)),
                ..Verdict::default()
            };
        }
        match self.fault {
            None => yes(""),
            Some(LoadError::Image(error)) => Verdict {
                problem: Some(error.to_string()),
                says: Some(error.istio_says(self.manifest.layers.len())),
                remedy: Some("publish the module with `faultline push`".into()),
                ..Verdict::default()
            },
            Some(LoadError::Module(error)) => Verdict {
                problem: Some(format!("the module: {error}")),
                says: error.proxy_says(self.reference),
                ..Verdict::default()
            },
        }
    }

    fn envoy(&self) -> Verdict {
        let remedy = match self.fault {
            Some(LoadError::Module(_)) => None,
            _ => Some("`faultline pull REF -o faultline.wasm`, and name the file in the bootstrap".to_owned()),
        };
        no("envoy", "Envoy by itself reads files and no registries", remedy)
    }

    fn image_volume(&self) -> Verdict {
        let consumer = "kubernetes-image-volume";
        match self.without_image_config() {
            None => yes(consumer),
            Some(problem) => no(consumer, &problem, Some("publish it with --format oci".into())),
        }
    }

    fn wkg(&self) -> Verdict {
        let consumer = "wkg";
        let layers = &self.manifest.layers;
        let problem = if self.manifest.config.media_type != CNCF_CONFIG {
            format!("its config is `{}`, not `{CNCF_CONFIG}`", self.manifest.config.media_type)
        } else if layers.len() != 1 || layers.iter().any(|layer| layer.media_type != CNCF_LAYER) {
            format!("it has not exactly one layer `{CNCF_LAYER}`")
        } else if self.manifest.media_type.as_deref().is_some_and(|own| own != OCI_IMAGE_MEDIA_TYPE) {
            format!("its manifest is not `{OCI_IMAGE_MEDIA_TYPE}`")
        } else {
            return yes(consumer);
        };
        no(consumer, &problem, Some("publish it with --format cncf, under a tag of its own".into()))
    }

    fn runwasi(&self) -> Verdict {
        no("runwasi", "it runs programs; a proxy-wasm plugin has no entry point and needs a proxy", None)
    }

    /// `oras pull` writes only the layers that have a title.
    fn oras(&self) -> Verdict {
        let titled = |layer: &&oci_distribution::manifest::OciDescriptor| {
            layer.annotations.as_ref().is_some_and(|all| all.contains_key(TITLE))
        };
        if self.manifest.layers.iter().any(|layer| titled(&layer)) {
            return yes("oras");
        }
        no(
            "oras",
            "none of its layers has a title: `oras pull` would report success and write no file",
            Some("publish it with --format oci, solo or cncf, or fetch it with `faultline pull`".into()),
        )
    }

    /// Any image can be copied, but `skopeo inspect` needs a container image.
    fn skopeo(&self) -> Verdict {
        match self.without_image_config() {
            None => yes("skopeo"),
            Some(problem) => no("skopeo", &format!("copied it can be, but not inspected: {problem}"), None),
        }
    }

    /// Any image can be copied, but `crane validate` (0.22.1; older ones are stricter) compares the layers of container
    /// images with what the config lists. Layers of other types it takes as they are.
    fn crane(&self) -> Verdict {
        let layers = &self.manifest.layers;
        let archives = layers.iter().filter(|layer| CRANE_LAYERS.contains(&layer.media_type.as_str())).count();
        let problem = match self.without_image_config() {
            Some(_) if archives == 0 && !self.has_image_config() => return yes("crane"),
            None if archives == layers.len() => return yes("crane"),
            Some(problem) => problem,
            None => "its image config lists layers that are none of a container image".to_owned(),
        };
        no("crane", &format!("copied it can be, but not validated (crane 0.22): {problem}"), None)
    }

    fn has_image_config(&self) -> bool {
        [IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE].contains(&self.manifest.config.media_type.as_str())
    }

    /// Why this is not a container image; `None` if it is one.
    fn without_image_config(&self) -> Option<String> {
        if !self.has_image_config() {
            return Some(format!("its config is `{}`, no image config", self.manifest.config.media_type));
        }
        let layers = self.manifest.layers.len();
        let listed = self.config.and_then(|config| config["rootfs"]["diff_ids"].as_array()).map(Vec::len);
        (listed != Some(layers)).then(|| "its image config does not list its layers (`rootfs.diff_ids`)".to_owned())
    }
}

fn yes(consumer: &'static str) -> Verdict {
    Verdict { consumer, loads: true, ..Verdict::default() }
}

fn no(consumer: &'static str, problem: &str, remedy: Option<String>) -> Verdict {
    Verdict { consumer, problem: Some(problem.to_owned()), remedy, ..Verdict::default() }
}

/// The consumer's display name.
pub(crate) fn title(consumer: &str) -> &str {
    match consumer {
        "istio" => "Istio",
        "envoy-gateway" => "Envoy Gateway",
        "higress" => "Higress",
        "envoy" => "Envoy by itself",
        "kubernetes-image-volume" => "Kubernetes image volume",
        "oras" => "oras pull",
        other => other,
    }
}
