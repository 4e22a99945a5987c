//! Packs `plugin.wasm` into a gzip-compressed tar archive: the layer that meshes read. The same module gives the same
//! bytes on every machine.
//!
//! Every header field that could reveal the machine, the user or the time is fixed, and so are the encoder and its
//! level (`miniz_oxide`, level 6). Only `SOURCE_DATE_EPOCH` has an effect: it sets the file's time.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use time::OffsetDateTime;

/// The file that a mesh looks for in the layer.
pub(crate) const MODULE_FILE: &str = "plugin.wasm";

/// A tar archive that holds the module and nothing else.
///
/// # Errors
/// Only if a header cannot be written; no input causes that.
pub(crate) fn tar(module: &[u8], modified: Option<OffsetDateTime>) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(MODULE_FILE)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified.map_or(0, |time| time.unix_timestamp().unsigned_abs()));
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::with_capacity(module.len() + 4096));
    archive.append(&header, module)?;
    archive.into_inner()
}

/// Compresses with gzip.
///
/// # Errors
/// No input causes one.
pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // 255 is "unknown" in the gzip format; the packing system's name must not change the digest. Level 9 takes twice as
    // long and saves two bytes in a thousand.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}
