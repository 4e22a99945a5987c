//! Writes files whole or not at all: into a temporary file beside the target, which is then moved over it.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, ensure};

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

#[cfg_attr(not(unix), allow(unused_variables, reason = "only Unix has file modes"))]
fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let named = path.display();
    ensure!(path != Path::new("-"), "`-` is no file; stdout is for the result, so name the file to write");
    let there = path.metadata();
    ensure!(
        there.map_or(true, |there| there.is_file()),
        "`{named}` is a device, a pipe or the like; name the file to write"
    );
    let target = path.canonicalize();
    let path = target.as_deref().unwrap_or(path); // it may yet be made
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(directory.is_dir(), "directory `{}` does not exist; create it or choose another file", directory.display());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".faultline-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    let write = || {
        // Only the kind: the library's words name the temporary file, which says nothing to anyone.
        let mut file = builder.tempfile_in(directory).map_err(|error| io::Error::from(error.kind()))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok::<_, io::Error>(())
    };
    write().with_context(|| format!("cannot write `{named}`; make its directory writable or choose another"))
}
