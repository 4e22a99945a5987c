//! Content of any size: in memory if it is small or part of this program, else in a file, from which it is read in
//! pieces.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use tempfile::{SpooledData, SpooledTempFile};

use crate::reference::digest::{Digest, Hasher};

/// How many bytes are read at once.
const PIECE: usize = 64 * 1024;

/// What is larger than this many bytes is kept in a temporary file.
const MOST_IN_MEMORY: usize = 1024 * 1024;

/// Content, and where it is.
#[derive(Debug)]
pub(crate) enum Content {
    /// In memory.
    Memory(Cow<'static, [u8]>),
    /// In this file, with this size in bytes.
    File(File, u64),
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl Content {
    /// The content of a file. That of a pipe or the like is read now.
    ///
    /// # Errors
    /// When its size cannot be told, or it cannot be read.
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok(Self::File(file, metadata.len())) } else { Self::of_reader(file) }
    }

    /// Everything that a reader gives.
    ///
    /// # Errors
    /// When it cannot be read, or not be kept.
    pub(crate) fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut spool = Spool::new();
        io::copy(&mut reader, &mut spool)?;
        spool.finish()
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// Reads it from a byte on. There can be only one reader at a time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn reader_from(&self, start: u64) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(match self {
            Self::Memory(bytes) => Box::new(bytes.get(usize::try_from(start).unwrap_or(usize::MAX)..).unwrap_or(&[])),
            Self::File(file, _) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(start))?;
                Box::new(BufReader::with_capacity(PIECE, file))
            }
        })
    }

    /// Reads it from the beginning.
    ///
    /// # Errors
    /// As [`Content::reader_from`].
    pub(crate) fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        self.reader_from(0)
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// As [`Content::reader_from`].
    pub(crate) fn into_bytes(self) -> io::Result<Vec<u8>> {
        if let Self::Memory(bytes) = self {
            return Ok(bytes.into_owned());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.size()).unwrap_or(0));
        self.reader()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Its digest.
    ///
    /// # Errors
    /// As [`Content::reader_from`].
    pub(crate) fn digest(&self) -> io::Result<Digest> {
        let mut hasher = Hasher::default();
        self.each(|piece| {
            hasher.push(piece);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    /// Gives it in pieces.
    ///
    /// # Errors
    /// As [`Content::reader_from`], and those of the closure.
    pub(crate) fn each(&self, take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        each(self.reader()?, take)
    }
}

/// Gives everything that a reader has in pieces.
///
/// # Errors
/// Those of the reader and of the closure.
pub(crate) fn each(mut reader: impl BufRead, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        let read = piece.len();
        take(piece)?;
        reader.consume(read);
    }
}

/// Content that is coming.
pub(crate) struct Spool(SpooledTempFile);

impl Spool {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self(SpooledTempFile::new(MOST_IN_MEMORY))
    }

    /// What came.
    ///
    /// # Errors
    /// When the temporary file cannot be used.
    pub(crate) fn finish(self) -> io::Result<Content> {
        match self.0.into_inner() {
            SpooledData::InMemory(bytes) => Ok(Content::from(bytes.into_inner())),
            SpooledData::OnDisk(file) => Content::of_file(file),
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_in_a_file_and_reads_the_same() {
        for size in [0, 1, MOST_IN_MEMORY, MOST_IN_MEMORY + 1, 3 * MOST_IN_MEMORY] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let content = Content::of_reader(bytes.as_slice()).unwrap();
            assert_eq!(matches!(content, Content::File(..)), size > MOST_IN_MEMORY, "{size}");
            assert_eq!((content.size(), content.digest().unwrap()), (size as u64, Digest::of(&bytes)));
            let mut end = Vec::new();
            content.reader_from(size as u64 / 2).unwrap().read_to_end(&mut end).unwrap();
            assert!(end == bytes[size / 2..] && content.into_bytes().unwrap() == bytes, "{size}");
        }
    }
}
