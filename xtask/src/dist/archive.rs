//! Tar archives whose bytes depend on nothing but what is in them: sorted, owned by numbers, all of one time.

use std::io::Write as _;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// Something in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its path; a folder's ends in `/`.
    path: String,
    kind: Kind,
    mode: u32,
    /// The number of its user and group.
    owner: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    File(Vec<u8>),
    Folder,
    Link(String),
}

impl Entry {
    /// A file that everybody may read.
    pub(crate) fn file(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), kind: Kind::File(content.into()), mode: 0o644, owner: 0 }
    }

    /// A file that everybody may run.
    pub(crate) fn program(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { mode: 0o755, ..Self::file(path, content) }
    }

    /// A folder with this mode and owner.
    pub(crate) fn folder(path: impl Into<String>, mode: u32, owner: u64) -> Self {
        Self { path: path.into(), kind: Kind::Folder, mode, owner }
    }

    /// A symbolic link to `to`.
    pub(crate) fn link(path: impl Into<String>, to: impl Into<String>) -> Self {
        Self { path: path.into(), kind: Kind::Link(to.into()), mode: 0o777, owner: 0 }
    }
}

/// A tar archive of the entries, in the order of their paths, each as of `epoch` (seconds since 1970).
///
/// # Errors
/// If a path is too long for the format.
pub(crate) fn tar(mut entries: Vec<Entry>, epoch: u64) -> Result<Vec<u8>> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_mtime(epoch);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner);
        header.set_gid(entry.owner);
        let content = match &entry.kind {
            Kind::File(content) => {
                header.set_entry_type(EntryType::Regular);
                content.as_slice()
            }
            Kind::Folder => {
                header.set_entry_type(EntryType::Directory);
                &[]
            }
            Kind::Link(_) => {
                header.set_entry_type(EntryType::Symlink);
                &[]
            }
        };
        header.set_size(u64::try_from(content.len())?);
        let added = match &entry.kind {
            Kind::Link(to) => builder.append_link(&mut header, &entry.path, to),
            Kind::File(_) | Kind::Folder => builder.append_data(&mut header, &entry.path, content),
        };
        added.with_context(|| format!("`{}` does not fit into an archive", entry.path))?;
    }
    Ok(builder.into_inner()?)
}

/// The bytes, compressed, without a time or a name.
///
/// # Errors
/// Never, as it is written to memory.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_order_in_which_entries_are_given_changes_nothing() {
        let entries = [
            Entry::program("b", *b"program"),
            Entry::link("a", "b"),
            Entry::folder("c/", 0o755, 7),
            Entry::file("c/d", ""),
        ];
        let forwards = tar(entries.to_vec(), 1_000).unwrap();
        let backwards = tar(entries.into_iter().rev().collect(), 1_000).unwrap();
        assert_eq!(forwards, backwards);
        assert_eq!(gzip(&forwards).unwrap(), gzip(&backwards).unwrap());
    }

    #[test]
    fn times_owners_and_modes_are_those_of_the_release() {
        let entries =
            vec![Entry::program("bin/p", *b"x"), Entry::link("k", "bin/p"), Entry::folder("home/", 0o700, 65532)];
        let packed = gzip(&tar(entries, 1_700_000_000).unwrap()).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
            let target = entry.link_name().unwrap().map(|to| to.display().to_string());
            let path = entry.path().unwrap().display().to_string();
            found.push((path, header.mode().unwrap(), header.uid().unwrap(), target));
        }
        let expected = [
            ("bin/p".to_owned(), 0o755, 0, None),
            ("home/".to_owned(), 0o700, 65532, None),
            ("k".to_owned(), 0o777, 0, Some("bin/p".to_owned())),
        ];
        assert_eq!(found, expected);
    }
}
