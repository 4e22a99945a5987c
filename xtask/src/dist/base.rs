//! An image to build upon, from an OCI layout that another tool made: `skopeo copy --all docker://… oci:DIR`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::layout::Layout;

/// An image in a layout.
pub(crate) struct Base {
    folder: PathBuf,
}

/// The layers of an image for one processor.
pub(crate) struct Layers {
    /// Their descriptors, lowest first.
    pub(crate) descriptors: Vec<Value>,
    /// The digest of each before it was compressed.
    pub(crate) diff_ids: Vec<Value>,
}

impl Base {
    /// The only image of the layout `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Copies the image's layers for `architecture` into `layout`.
    ///
    /// # Errors
    /// If the folder is no layout of one image, or that has none for this processor.
    pub(crate) fn copy(&self, architecture: &str, layout: &Layout) -> Result<Layers> {
        let manifest = self.manifest(architecture)?;
        let config = self.json(&manifest["config"])?;
        let found = config["architecture"].as_str().unwrap_or_default();
        if found != architecture {
            bail!("the image in {} is for `{found}`, not for {architecture}", self.folder.display());
        }
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let layers = Layers { descriptors: list(&manifest["layers"]), diff_ids: list(&config["rootfs"]["diff_ids"]) };
        if layers.descriptors.len() != layers.diff_ids.len() {
            bail!("the image in {} is damaged: layers and diff_ids differ in number", self.folder.display());
        }
        for layer in &layers.descriptors {
            layout.put(layer["mediaType"].as_str().unwrap_or_default(), &self.blob(layer)?)?;
        }
        Ok(layers)
    }

    /// The manifest for `architecture`, through as many indexes as there are.
    fn manifest(&self, architecture: &str) -> Result<Value> {
        let file = self.folder.join("index.json");
        let text = fs::read(&file).with_context(|| format!("{} is no OCI layout", self.folder.display()))?;
        let mut document: Value =
            serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))?;
        while let Some(entries) = document["manifests"].as_array() {
            let fits = |entry: &&Value| {
                let platform = &entry["platform"];
                platform.is_null() || (platform["os"] == "linux" && platform["architecture"] == architecture)
            };
            let fitting: Vec<&Value> = entries.iter().filter(fits).collect();
            document = match fitting.as_slice() {
                [entry] => self.json(entry)?,
                [] => bail!("the image in {} has nothing for linux/{architecture}", self.folder.display()),
                several => bail!("{} holds {} images: give a layout of one", self.folder.display(), several.len()),
            };
        }
        Ok(document)
    }

    fn json(&self, descriptor: &Value) -> Result<Value> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        serde_json::from_slice(&self.blob(descriptor)?)
            .with_context(|| format!("{digest} in {} is not JSON", self.folder.display()))
    }

    /// The content that a descriptor names.
    fn blob(&self, descriptor: &Value) -> Result<Vec<u8>> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        let bytes = digest.split_once(':').filter(|(_, hex)| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let (algorithm, hex) =
            bytes.with_context(|| format!("{} is damaged: `{digest}` is no digest", self.folder.display()))?;
        let file = self.folder.join("blobs").join(algorithm).join(hex);
        fs::read(&file)
            .with_context(|| format!("{} is not whole: {} is missing", self.folder.display(), file.display()))
    }
}
