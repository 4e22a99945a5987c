//! Writes files whole or not at all: into a temporary file beside the target, which is then moved over it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tempfile::NamedTempFile;

/// Replaces `path` by these bytes; where it is a link, what it leads to. When it fails nothing is left behind, and what
/// was there is as it was.
///
/// # Errors
/// When the directory is not there or cannot be written to, or what is there is a device or a pipe: moved over
/// `/dev/null`, a file would take its place for everybody on the machine.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with_mode(path, bytes, 0o666) // less the umask, as for any new file
}

/// As [`write`], for what only its owner may read.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with_mode(path, bytes, 0o600)
}

fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut file = NewFile::create(path, mode)?;
    file.write_all(bytes)?;
    file.keep()
}

/// A file that is being written, and takes its place once it is complete. Dropped before, it leaves nothing behind.
pub(crate) struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
    named: PathBuf,
}

impl NewFile {
    /// Begins a file that everybody may read.
    ///
    /// # Errors
    /// As [`write`].
    pub(crate) fn new(path: &Path) -> anyhow::Result<Self> {
        Self::create(path, 0o666)
    }

    #[cfg_attr(not(unix), allow(unused_variables, reason = "only Unix has file modes"))]
    fn create(path: &Path, mode: u32) -> anyhow::Result<Self> {
        let named = path.to_owned();
        let shown = path.display();
        ensure!(path != Path::new("-"), "`-` is no file; stdout is for the result, so name the file to write");
        let there = path.metadata();
        ensure!(
            there.map_or(true, |there| there.is_file()),
            "`{shown}` is a device, a pipe or the like; name the file to write"
        );
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned()); // it may yet be made
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(
            directory.is_dir(),
            "directory `{}` does not exist; create it or choose another file",
            directory.display()
        );
        let mut builder = tempfile::Builder::new();
        builder.prefix(".faultline-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        // Only the kind: the library's words name the temporary file, which says nothing to anyone.
        let file = builder.tempfile_in(directory).map_err(|error| io::Error::from(error.kind()));
        let file = file.with_context(|| cannot_write(&named))?;
        Ok(Self { file, path, named })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When the disk is full or the like.
    pub(crate) fn keep(self) -> anyhow::Result<()> {
        self.file.as_file().sync_all().with_context(|| cannot_write(&self.named))?;
        self.keep_unsynced()
    }

    /// As [`NewFile::keep`], without waiting for the disk. After a power cut it may be incomplete: for what can be
    /// fetched or made again.
    ///
    /// # Errors
    /// As [`NewFile::keep`].
    pub(crate) fn keep_unsynced(self) -> anyhow::Result<()> {
        let Self { file, path, named } = self;
        file.persist(path).map_err(|error| error.error).map(drop).with_context(|| cannot_write(&named))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", cannot_write(&self.named))))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write `{}`; make its directory writable or choose another", path.display())
}
