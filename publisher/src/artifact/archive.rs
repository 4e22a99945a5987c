//! Packs `plugin.wasm` into a gzip-compressed tar archive: the layer that meshes read. The same module gives the same
//! bytes on every machine.
//!
//! Every header field that could reveal the machine, the user or the time is fixed, and so are the encoder and its
//! level (`miniz_oxide`, level 6). Only `SOURCE_DATE_EPOCH` has an effect: it sets the file's time.
//!
//! Layers of other tools are read too: a gzip file may have several members (RFC 1952, section 2.2), as those of
//! eStargz and of parallel compressors do.

use std::io::{self, Read, Write};

use flate2::bufread::GzDecoder;
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

/// Decompresses gzip, all of its members in turn, up to a limit.
pub(crate) struct Unzipped<'a> {
    decoder: GzDecoder<&'a [u8]>,
    /// How many bytes may still come out.
    left: u64,
    /// How many bytes follow the last member and are not gzip.
    trailing: usize,
    /// Whether there was more than the limit.
    exceeded: bool,
}

impl<'a> Unzipped<'a> {
    /// A reader that gives at most `most` bytes.
    pub(crate) fn new(bytes: &'a [u8], most: u64) -> Self {
        Self { decoder: GzDecoder::new(bytes), left: most, trailing: 0, exceeded: false }
    }

    /// How many bytes follow the last member and are not gzip; known once everything is read.
    pub(crate) fn trailing(&self) -> usize {
        self.trailing
    }

    /// Whether reading ended at the limit.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }
}

impl Read for Unzipped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                let within = read.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= within as u64;
                self.exceeded |= within < read;
                return Ok(within);
            }
            let rest = *self.decoder.get_ref();
            if buffer.is_empty() || !rest.starts_with(&[0x1f, 0x8b]) {
                self.trailing = rest.len();
                return Ok(0);
            }
            self.decoder = GzDecoder::new(rest);
        }
    }
}
