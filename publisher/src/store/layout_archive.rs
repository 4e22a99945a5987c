//! An OCI image layout in a tar archive, as `skopeo copy … oci-archive:FILE`, `docker save` and BuildKit write it. It
//! is unpacked into a temporary directory, and packed again after each change; if another program has changed the
//! archive meanwhile, it is left as it is.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, anyhow, ensure};

/// The most bytes that are unpacked.
const MOST: u64 = 16 << 30;

/// An archive, unpacked.
pub(super) struct Unpacked {
    archive: PathBuf,
    directory: tempfile::TempDir,
    /// What the archive was when it was read; `None` if there was none.
    state: Mutex<Option<State>>,
}

/// What tells an archive from the one that replaces it: when it was written, its length, and its number.
type State = (Option<SystemTime>, u64, u64);

fn state(archive: &Path) -> Option<State> {
    let found = archive.metadata().ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&found);
    #[cfg(not(unix))]
    let number = 0;
    Some((found.modified().ok(), found.len(), number))
}

impl Unpacked {
    /// Unpacks an archive, compressed by gzip or not. If it is not there, the layout is empty.
    ///
    /// # Errors
    /// When it is no archive, or is damaged.
    pub(super) fn open(archive: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let (named, state) = (archive.display(), state(archive));
        match File::open(archive) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read the archive `{named}`")),
            Ok(file) => {
                let is_dockers =
                    unpack(file, directory.path()).map_err(|error| match error.downcast::<io::Error>() {
                        // tar's words repeat what is in the file, whatever it is.
                        Ok(error) if matches!(error.kind(), io::ErrorKind::Other | io::ErrorKind::InvalidData) => {
                            anyhow!("`{named}` is no tar archive of an OCI image layout, or is damaged")
                        }
                        Ok(error) => anyhow::Error::from(error).context(format!("cannot unpack the archive `{named}`")),
                        Err(error) => error.context(format!("`{named}` is damaged")),
                    })?;
                let found = directory.path().join("oci-layout").exists();
                ensure!(
                    found || !is_dockers,
                    "`{named}` is an archive of docker's own form, as `docker save` before 25 and `skopeo copy … \
                     docker-archive:` write it, and no OCI image layout; make one of it: `skopeo copy \
                     docker-archive:{named} oci-archive:NEW.tar:TAG`"
                );
                ensure!(found, "`{named}` is no OCI image layout: it has no file `oci-layout`");
            }
        }
        Ok(Self { archive: archive.to_owned(), directory, state: Mutex::new(state) })
    }

    /// Where the layout's files are.
    pub(super) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the archive anew, whole or not at all. Times and owners are left out, so the same layout gives the same
    /// bytes.
    ///
    /// # Errors
    /// When it cannot be written, or another program has changed it since it was read.
    pub(super) fn pack(&self) -> anyhow::Result<()> {
        let directory = self.archive.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Between the look at the archive and its replacement nobody else may replace it. Some file systems know no
        // locks.
        let lock = File::open(directory).ok().filter(|directory| directory.lock().is_ok());
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            state(&self.archive) == *known,
            "the archive `{}` was changed by another program meanwhile; run this again",
            self.archive.display()
        );
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".faultline-").tempfile_in(directory)?;
            let mut builder = tar::Builder::new(&mut file);
            builder.mode(tar::HeaderMode::Deterministic);
            let mut blobs: Vec<_> = self
                .root()
                .join("blobs/sha256")
                .read_dir()?
                .map(|it| it.map(|it| it.path()))
                .collect::<Result<_, _>>()?;
            blobs.sort();
            for path in [self.root().join("oci-layout"), self.root().join("index.json")].iter().chain(&blobs) {
                builder.append_path_with_name(path, path.strip_prefix(self.root()).unwrap_or(path))?;
            }
            builder.finish()?;
            drop(builder);
            file.as_file().sync_all()?;
            #[cfg(unix)]
            std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            file.persist(&self.archive).map_err(|error| error.error)?;
            Ok::<_, io::Error>(())
        };
        write().with_context(|| format!("cannot write the archive `{}`", self.archive.display()))?;
        *known = state(&self.archive);
        drop(lock);
        Ok(())
    }
}

/// Unpacks what belongs to a layout, and nothing else: regular files of these names. Whether docker's own list of what
/// is in the archive is there, too.
fn unpack(mut file: File, into: &Path) -> anyhow::Result<bool> {
    let mut start = [0; 2];
    let is_gzip = file.read(&mut start)? == 2 && start == [0x1f, 0x8b];
    io::Seek::rewind(&mut file)?;
    let reader: Box<dyn Read> = match is_gzip {
        true => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        false => Box::new(BufReader::new(file)),
    };
    std::fs::create_dir_all(into.join("blobs/sha256"))?;
    let mut is_dockers = false;
    for entry in tar::Archive::new(reader.take(MOST)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.components().filter(|part| *part != std::path::Component::CurDir).collect::<PathBuf>();
        let is_hex = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let is_blob = name.strip_prefix("blobs/sha256").is_ok_and(|blob| blob.to_str().is_some_and(is_hex));
        is_dockers |= name == Path::new("manifest.json");
        let belongs = is_blob || name == Path::new("oci-layout") || name == Path::new("index.json");
        if belongs && entry.header().entry_type().is_file() {
            let announced = entry.size();
            let written = io::copy(&mut entry, &mut File::create(into.join(&name))?)?;
            ensure!(written == announced, "it ends within `{}`", name.display());
        }
    }
    Ok(is_dockers)
}
