//! Container images, made without an engine, of nothing but the program: no distribution, no shell.
//!
//! An image is an index of one manifest for each target. Beside the program it has what a program expects of a system:
//! a user that is not root, a home, `/tmp`, and the certificates of the authorities that Mozilla trusts, because TLS
//! asks the system whom to trust. Or all that is another image's, where a program runs others.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::archive::{self, Entry};
use super::base::{Base, Layers};
use super::layout::{INDEX, Layout, hex_digest};
use super::programs::Built;
use super::source::Source;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The user and group that the program runs as, by the custom of images without a system: `nonroot`.
const NONROOT: u64 = 65532;

/// Their home, from the root.
const HOME: &str = "home/nonroot";

/// Where programs are looked for: also where distributions have them.
const SEARCHED: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the image of `program` into the layout `folder`, under the version as its tag; upon `base`, if there is one.
/// Returns the digest of the index.
///
/// # Errors
/// If it cannot be written, or the base has nothing for a processor.
pub(crate) fn write(
    folder: &Path,
    program: &str,
    built: &[Built],
    source: &Source,
    base: Option<&Base>,
) -> Result<String> {
    let layout = Layout::create(folder)?;
    let system = Packed::new(system(), source.epoch)?;
    let labels = labels(program, source)?;
    let mut manifests = Vec::new();
    for built in built {
        let mut layers = match base {
            Some(base) => base.copy(built.target.architecture(), &layout)?,
            None => system.added_to(&layout, Layers { descriptors: Vec::new(), diff_ids: Vec::new() })?,
        };
        let own = Entry::program(format!("usr/local/bin/{program}"), built.program(program)?);
        layers = Packed::new(vec![own], source.epoch)?.added_to(&layout, layers)?;
        let config = json!({
            "architecture": built.target.architecture(),
            "os": "linux",
            "created": source.created()?,
            "config": {
                "User": format!("{NONROOT}:{NONROOT}"),
                "Env": [SEARCHED, format!("HOME=/{HOME}")],
                "Entrypoint": [format!("/usr/local/bin/{program}")],
                "WorkingDir": format!("/{HOME}"),
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": layers.diff_ids},
        });
        let config = layout.put(CONFIG, &serde_json::to_vec(&config)?)?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": layers.descriptors, "annotations": labels});
        let mut manifest = layout.put(MANIFEST, &serde_json::to_vec(&manifest)?)?;
        manifest["platform"] = json!({"architecture": built.target.architecture(), "os": "linux"});
        manifests.push(manifest);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": labels});
    let index = layout.put(INDEX, &serde_json::to_vec(&index)?)?;
    layout.finish(index.clone(), env!("CARGO_PKG_VERSION"))?;
    Ok(index["digest"].as_str().unwrap_or_default().to_owned())
}

/// A layer.
struct Packed {
    gzipped: Vec<u8>,
    /// The digest of the layer before it was compressed.
    diff_id: String,
}

impl Packed {
    fn new(entries: Vec<Entry>, epoch: u64) -> Result<Self> {
        let tar = archive::tar(entries, epoch)?;
        Ok(Self { gzipped: archive::gzip(&tar)?, diff_id: format!("sha256:{}", hex_digest(&tar)) })
    }

    /// Puts it on top of others.
    fn added_to(&self, layout: &Layout, mut layers: Layers) -> Result<Layers> {
        layers.descriptors.push(layout.put(LAYER, &self.gzipped)?);
        layers.diff_ids.push(json!(self.diff_id));
        Ok(layers)
    }
}

/// What the image says of itself, as labels and annotations.
fn labels(program: &str, source: &Source) -> Result<Value> {
    let mut labels = json!({
        "org.opencontainers.image.title": program,
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        "org.opencontainers.image.created": source.created()?,
    });
    if let Some(revision) = &source.revision {
        let dirty = if source.is_dirty { "-dirty" } else { "" };
        labels["org.opencontainers.image.revision"] = json!(format!("{revision}{dirty}"));
    }
    Ok(labels)
}

/// What is there beside the program.
fn system() -> Vec<Entry> {
    let users = format!("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{NONROOT}:{NONROOT}::/{HOME}:/sbin/nologin\n");
    let groups = format!("root:x:0:\nnonroot:x:{NONROOT}:\n");
    vec![
        Entry::folder("etc/", 0o755, 0),
        Entry::file("etc/passwd", users),
        Entry::file("etc/group", groups),
        Entry::folder("etc/ssl/", 0o755, 0),
        Entry::folder("etc/ssl/certs/", 0o755, 0),
        Entry::file("etc/ssl/certs/ca-certificates.crt", authorities()),
        Entry::folder("home/", 0o755, 0),
        Entry::folder(format!("{HOME}/"), 0o700, NONROOT),
        Entry::folder("tmp/", 0o1777, 0),
        Entry::folder("usr/", 0o755, 0),
        Entry::folder("usr/local/", 0o755, 0),
        Entry::folder("usr/local/bin/", 0o755, 0),
    ]
}

/// The certificates of the authorities, in PEM.
fn authorities() -> String {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem += "-----BEGIN CERTIFICATE-----\n";
        let encoded = BASE64_STANDARD.encode(certificate);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem += line;
            pem += "\n";
            rest = after;
        }
        pem += "-----END CERTIFICATE-----\n";
    }
    pem
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::target::Target;
    use super::*;
    use crate::process::{capture, find_on_path};

    fn written(folder: &Path, epoch: u64) -> String {
        upon(folder, epoch, None).unwrap()
    }

    fn upon(folder: &Path, epoch: u64, base: Option<&Base>) -> Result<String> {
        let built = Target::ALL.map(|target| Built { target, programs: vec![("faultline", b"program".to_vec())] });
        let source = Source { revision: Some("abc".to_owned()), is_dirty: false, epoch };
        write(folder, "faultline", &built, &source, base)
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("faultline-image-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_same_programs_make_the_same_image_anywhere() {
        let (one, other) = (folder("one"), folder("other"));
        assert_eq!(written(&one, 1_700_000_000), written(&other, 1_700_000_000));
        assert_ne!(written(&one, 1_700_000_000), written(&other, 1_700_000_001));
        std::fs::remove_dir_all(one).unwrap();
        std::fs::remove_dir_all(other).unwrap();
    }

    #[test]
    fn skopeo_reads_the_image_of_each_architecture() {
        let named = std::env::var_os("FAULTLINE_SKOPEO").map(PathBuf::from).or_else(|| find_on_path("skopeo"));
        let Some(skopeo) = named else {
            eprintln!("skipped: no skopeo");
            return;
        };
        let folder = folder("skopeo");
        written(&folder, 1_700_000_000);
        for target in Target::ALL {
            let mut command = Command::new(&skopeo);
            command.args(["--override-os", "linux", "--override-arch", target.architecture(), "inspect", "--config"]);
            let said = capture(command.arg(format!("oci:{}:{}", folder.display(), env!("CARGO_PKG_VERSION")))).unwrap();
            let config: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(config["architecture"], target.architecture());
            assert_eq!(config["created"], "2023-11-14T22:13:20Z");
            assert_eq!(config["config"]["User"], "65532:65532");
            assert_eq!(config["config"]["Entrypoint"], json!(["/usr/local/bin/faultline"]));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn upon_another_image_its_layers_come_first() {
        let (below, above) = (folder("below"), folder("above"));
        written(&below, 1_700_000_000);
        upon(&above, 1_700_000_000, Some(&Base::new(&below))).unwrap();
        let blob = |layout: &Path, digest: &Value| -> Value {
            let hex = digest.as_str().unwrap().trim_start_matches("sha256:");
            serde_json::from_slice(&std::fs::read(layout.join("blobs/sha256").join(hex)).unwrap()).unwrap()
        };
        let layers = |layout: &Path| -> Vec<Value> {
            let listed: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
            let index = blob(layout, &listed["manifests"][0]["digest"]);
            let manifest = blob(layout, &index["manifests"][1]["digest"]);
            let config = blob(layout, &manifest["config"]["digest"]);
            assert_eq!(
                config["rootfs"]["diff_ids"].as_array().unwrap().len(),
                manifest["layers"].as_array().unwrap().len()
            );
            manifest["layers"].as_array().unwrap().clone()
        };
        let (lower, all) = (layers(&below), layers(&above));
        assert_eq!((lower.len(), all.len()), (2, 3));
        assert_eq!(all[..2], lower[..]);
        let error = upon(&folder("none"), 0, Some(&Base::new(Path::new("/nowhere")))).unwrap_err();
        assert!(error.to_string().contains("/nowhere is no OCI layout"), "{error}");
        for used in [below, above, folder("none")] {
            std::fs::remove_dir_all(used).unwrap();
        }
    }
}
