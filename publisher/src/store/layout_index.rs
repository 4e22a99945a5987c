//! The two files that make a directory or an archive an OCI image layout: `oci-layout`, which tells the version, and
//! `index.json`, whose entries announce digest and size of each manifest.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::manifest::{RawManifest, entries};
use crate::reference::digest::Digest;
use crate::terminal::escape;

/// The one version of layouts that there is.
pub(super) const VERSION: &str = "1.0.0";

/// What to do about a file that is not as it must be.
const REMEDY: &str = "have the tool that wrote it write it again, or push or copy to a new place";

/// Reads the index of the layout below `root`; `shown` is what the user named.
///
/// # Errors
/// When a file cannot be read or is malformed, and for another version.
pub(super) fn read(root: &Path, shown: &Path) -> anyhow::Result<Value> {
    let file = |name: &str| format!("`{name}` of the layout `{}`", shown.display());
    let read = |name: &str| -> anyhow::Result<Value> {
        let bytes = std::fs::read(root.join(name)).with_context(|| format!("cannot read {}", file(name)))?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(value),
            Err(error) => bail!("{} is malformed: {error}; {REMEDY}", file(name)),
        }
    };
    match read("oci-layout")?["imageLayoutVersion"].as_str() {
        Some(VERSION) => {}
        Some(other) => bail!(
            "{} has version `{}`, and this reads {VERSION} only; {REMEDY}",
            file("oci-layout"),
            escape::one_line(other)
        ),
        None => bail!("{} is malformed: it has no `imageLayoutVersion`; {REMEDY}", file("oci-layout")),
    }
    let index = read("index.json")?;
    ensure!(index["manifests"].is_array(), "{} is malformed: its `manifests` is no list; {REMEDY}", file("index.json"));
    for (at, entry) in entries(&index).iter().enumerate() {
        let digest = &entry["digest"];
        ensure!(
            digest.as_str().is_some_and(is_digest),
            "{} is malformed: manifests[{at}].digest is {}, and no digest; {REMEDY}",
            file("index.json"),
            escape::one_line(&digest.to_string())
        );
    }
    Ok(index)
}

/// Whether it is a digest of any kind: a layout may hold what only others can read.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, value)| {
        let plain = |text: &str, also: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b));
        !algorithm.is_empty()
            && !value.is_empty()
            && plain(algorithm, b"+._-")
            && plain(value, b"=_-")
            && (algorithm != "sha256" || text.parse::<Digest>().is_ok())
    })
}

/// Refuses a manifest that is not what the entry announces.
///
/// # Errors
/// If its size differs.
pub(super) fn must_be(entry: &Value, manifest: &RawManifest, shown: &Path) -> anyhow::Result<()> {
    let (size, actual) = (&entry["size"], manifest.bytes.len());
    ensure!(
        size.as_u64() == Some(actual as u64),
        "`index.json` of the layout `{}` announces {} with {} bytes, and it has {actual}: one of them is \
         damaged; {REMEDY}",
        shown.display(),
        manifest.digest,
        escape::one_line(&size.to_string())
    );
    Ok(())
}
