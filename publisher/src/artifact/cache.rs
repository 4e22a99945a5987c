//! Layers that were packed before, so that the next push of the same module need not pack it again.
//!
//! They are in `faultline/packed` in the user's cache directory, which may be emptied at any time. An entry is found by
//! the digest of the module and its time. Its layer is not compared with its digest, because every store does that.
//! Only the newest are kept. Without a cache directory, or where it cannot be written to, everything works, and takes
//! longer.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::artifact::archive::Packed;
use crate::content::Content;
use crate::files::NewFile;
use crate::module::checks::Facts;
use crate::reference::digest::Digest;

/// Changes when the same module is packed into other bytes, or other facts are told of it.
const FORMAT: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// How many entries are kept.
const MOST_ENTRIES: usize = 4;

/// The directory.
pub(crate) struct Cache(PathBuf);

/// What is known of a module.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    format: String,
    /// What was found in the module.
    pub(crate) facts: Facts,
    /// Its layer.
    pub(crate) packed: Packed,
}

impl Entry {
    /// A new entry.
    pub(crate) fn new(facts: Facts, packed: Packed) -> Self {
        Self { format: FORMAT.to_owned(), facts, packed }
    }
}

impl Cache {
    /// The user's cache; `None` if there is no home directory.
    pub(crate) fn of_user() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
        Some(Self(caches.filter(|dir| dir.is_absolute())?.join("faultline/packed")))
    }

    /// What is known of the module with this digest, packed with this time; `None` if nothing is.
    pub(crate) fn find(&self, module: &Digest, time: i64) -> Option<Entry> {
        let bytes = fs::read(self.entry(module, time)).ok()?;
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        let layer = self.layer(&entry.packed.digest).metadata().ok()?;
        (entry.format == FORMAT && layer.len() == entry.packed.size).then_some(entry)
    }

    /// The layer of an entry; `None` if it is not there any more. Whether it is damaged is not looked at: who stores it
    /// compares the digest.
    pub(crate) fn content(&self, packed: &Packed) -> Option<Content> {
        Content::of_file(File::open(self.layer(&packed.digest)).ok()?).ok()
    }

    /// Removes a layer, if it is damaged. Returns whether it was.
    pub(crate) fn remove_damaged(&self, layer: &Digest) -> bool {
        let path = self.layer(layer);
        let digest = File::open(&path).and_then(Content::of_file).and_then(|content| content.digest());
        digest.is_ok_and(|digest| digest != *layer) && fs::remove_file(path).is_ok()
    }

    /// Keeps a layer. That it cannot be kept is no failure: it will be packed again.
    pub(crate) fn keep(&self, module: &Digest, time: i64, entry: &Entry, layer: &Content) {
        let keep = || -> anyhow::Result<()> {
            private_directory(&self.0)?;
            let mut file = NewFile::new(&self.layer(&entry.packed.digest))?;
            layer.each(|piece| file.write_all(piece))?;
            file.keep_unsynced()?;
            let mut file = NewFile::new(&self.entry(module, time))?;
            file.write_all(&serde_json::to_vec(entry)?)?;
            file.keep_unsynced()?;
            self.prune()?;
            Ok(())
        };
        let _ = keep();
    }

    /// Removes all but the newest entries, and the layers that no entry names.
    fn prune(&self) -> anyhow::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        let mut layers = Vec::new();
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => entries.push((path.metadata()?.modified()?, path)),
                Some("gz") => layers.push(path),
                _ => {}
            }
        }
        entries.sort();
        for (_, path) in entries.drain(..entries.len().saturating_sub(MOST_ENTRIES)) {
            fs::remove_file(path)?;
        }
        let named = |path: &Path| {
            let entry = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok());
            entry.map(|entry| self.layer(&entry.packed.digest))
        };
        let named: Vec<PathBuf> = entries.iter().filter_map(|(_, path)| named(path)).collect();
        for layer in layers.into_iter().filter(|layer| !named.contains(layer)) {
            fs::remove_file(layer)?;
        }
        Ok(())
    }

    fn entry(&self, module: &Digest, time: i64) -> PathBuf {
        self.0.join(format!("{}-{time}.json", module.hex()))
    }

    fn layer(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{}.tar.gz", digest.hex()))
    }
}

/// Makes a directory into which only its owner may look.
fn private_directory(dir: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, text: &str) -> (Digest, Entry) {
        let (module, layer) = (Digest::of(text.as_bytes()), Content::from(format!("packed {text}").into_bytes()));
        let packed = Packed { diff_id: Digest::of(b""), digest: layer.digest().unwrap(), size: layer.size() };
        cache.keep(&module, 0, &Entry::new(Facts::default(), packed), &layer);
        let entry = cache.find(&module, 0).expect("it was kept");
        (module, entry)
    }

    #[test]
    fn only_the_newest_are_kept_and_nothing_damaged_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().join("a/b"));
        let all: Vec<_> = ["1", "2", "3", "4", "5", "6"].iter().map(|text| keep(&cache, text)).collect();
        assert_eq!(fs::read_dir(&cache.0).unwrap().count(), 2 * MOST_ENTRIES);
        let (module, entry) = all.last().unwrap();
        assert!(cache.find(module, 1).is_none(), "another time");
        assert!(cache.content(&entry.packed).is_some() && !cache.remove_damaged(&entry.packed.digest));
        let layer = cache.layer(&entry.packed.digest);
        fs::write(&layer, vec![b'x'; usize::try_from(entry.packed.size).unwrap()]).unwrap();
        assert!(cache.remove_damaged(&entry.packed.digest) && cache.content(&entry.packed).is_none(), "other bytes");
        fs::write(&layer, "cut").unwrap();
        assert!(cache.find(module, 0).is_none());
    }
}
