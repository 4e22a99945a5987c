//! Packs `plugin.wasm` into a gzip-compressed tar archive: the layer that meshes read. The same module gives the same
//! bytes on every machine.
//!
//! Every header field that could reveal the machine, the user or the time is fixed, and so are the encoder and its
//! level (`miniz_oxide`, level 6). Only `SOURCE_DATE_EPOCH` has an effect: it sets the file's time.
//!
//! Layers of other tools are read too: a gzip file may have several members (RFC 1952, section 2.2), as those of
//! eStargz and of parallel compressors do.

use std::io::{self, BufRead, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::reference::digest::{Digest, Hasher};

/// The file that a mesh looks for in the layer.
pub(crate) const MODULE_FILE: &str = "plugin.wasm";

/// A packed layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The digest of the archive before compression.
    pub(crate) diff_id: Digest,
    /// The digest of the layer.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// Packs a module of this digest and size in bytes, in pieces.
///
/// # Errors
/// When the module cannot be read or is another one by now, or the layer cannot be written.
pub(crate) fn pack(
    module: impl Read,
    digest: &Digest,
    size: u64,
    modified: Option<OffsetDateTime>,
    layer: impl Write,
) -> io::Result<Packed> {
    let mut header = tar::Header::new_ustar();
    header.set_path(MODULE_FILE)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified.map_or(0, |time| time.unix_timestamp().unsigned_abs()));
    header.set_cksum();
    // 255 is "unknown" in the gzip format; the packing system's name must not change the digest. Level 9 takes twice as
    // long and saves two bytes in a thousand.
    let layer = Counted { to: layer, hasher: Hasher::default(), size: 0 };
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(layer, Compression::new(6));
    let mut archive = tar::Builder::new(Counted { to: gzip, hasher: Hasher::default(), size: 0 });
    let mut module = Hashed { from: module.take(size), hasher: Hasher::default() };
    archive.append(&header, &mut module)?;
    let Counted { to: gzip, hasher, .. } = archive.into_inner()?;
    let Counted { hasher: of_layer, size: packed, .. } = gzip.finish()?;
    if module.hasher.finish() != *digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it was changed while it was read"));
    }
    Ok(Packed { diff_id: hasher.finish(), digest: of_layer.finish(), size: packed })
}

/// Passes on what is read from it, and hashes it.
struct Hashed<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.push(&buffer[..read]);
        Ok(read)
    }
}

/// Passes on what is written to it, and counts it.
struct Counted<W> {
    to: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.push(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Decompresses gzip, all of its members in turn, up to a limit.
pub(crate) struct Unzipped<R> {
    /// Of the member that is being read; `None` between two.
    decoder: Option<GzDecoder<R>>,
    /// How many bytes may still come out.
    left: u64,
    /// How many bytes follow the last member and are not gzip.
    trailing: u64,
    /// Whether there was more than the limit.
    exceeded: bool,
}

impl<R: BufRead> Unzipped<R> {
    /// A reader that gives at most `most` bytes.
    pub(crate) fn new(from: R, most: u64) -> Self {
        Self { decoder: Some(GzDecoder::new(from)), left: most, trailing: 0, exceeded: false }
    }

    /// How many bytes follow the last member and are not gzip; known once everything is read.
    pub(crate) fn trailing(&self) -> u64 {
        self.trailing
    }

    /// Whether reading ended at the limit.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }
}

impl<R: BufRead> Read for Unzipped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(buffer)?;
            if read > 0 {
                let within = read.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= within as u64;
                self.exceeded |= within < read;
                return Ok(within);
            }
            if buffer.is_empty() {
                return Ok(0);
            }
            let Some(mut rest) = self.decoder.take().map(GzDecoder::into_inner) else { break };
            let next = rest.fill_buf()?;
            // The second byte may not be there yet.
            if next.starts_with(&[0x1f, 0x8b]) || next == [0x1f] {
                self.decoder = Some(GzDecoder::new(rest));
            } else {
                self.trailing = io::copy(&mut rest, &mut io::sink())?;
            }
        }
        Ok(0)
    }
}

/// Archive and compression alone, for tests of what others pack.
#[cfg(test)]
pub(crate) mod parts {
    use super::*;

    pub(crate) fn tar(module: &[u8]) -> Vec<u8> {
        let mut layer = Vec::new();
        pack(module, &Digest::of(module), module.len() as u64, None, &mut layer).unwrap();
        let mut archive = Vec::new();
        Unzipped::new(layer.as_slice(), u64::MAX).read_to_end(&mut archive).unwrap();
        archive
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }
}
