//! An OCI image layout: a folder of content by digest, with an index, as skopeo, crane, podman and `faultline` read it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Media type of an index.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layout that is being written.
pub(crate) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Begins a layout in `folder`.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let layout = Self { folder: folder.to_owned() };
        fs::create_dir_all(layout.blobs()).with_context(|| format!("{} cannot be made", folder.display()))?;
        layout.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(layout)
    }

    /// Adds content; returns its descriptor.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn put(&self, media_type: &str, content: &[u8]) -> Result<Value> {
        let hex = hex_digest(content);
        self.write(&format!("blobs/sha256/{hex}"), content)?;
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": content.len()}))
    }

    /// Ends the layout: `descriptor` is what the tag names.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn finish(&self, mut descriptor: Value, tag: &str) -> Result<()> {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
        self.write("index.json", &serde_json::to_vec(&index)?)
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// The SHA-256 of some bytes in hexadecimal.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
