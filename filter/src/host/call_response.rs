//! The answer to an HTTP call of ours: its status, and its body as a stream that is read from the host in pieces.

use super::calls::{self, Buffer, HeaderMap};
use std::io;

/// The maximum number of bytes that are read from the host at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// The status of the current callback's answer; empty if the call failed.
pub(crate) fn status() -> Vec<u8> {
    calls::header(HeaderMap::CallResponse, ":status").unwrap_or_default()
}

/// The body of the current callback's answer.
#[derive(Debug)]
pub(crate) struct Body {
    size: usize,
    position: usize,
    piece: Vec<u8>,
    used: usize,
}

impl Body {
    /// A body of `size` bytes, which is the size that the callback gives.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, position: 0, piece: Vec::new(), used: 0 }
    }
}

impl io::Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used >= self.piece.len() {
            let left = self.size.saturating_sub(self.position).min(PIECE_BYTES);
            if left == 0 {
                return Ok(0);
            }
            self.piece = calls::buffer(Buffer::CallResponseBody, self.position, left).unwrap_or_default();
            self.position = self.position.saturating_add(self.piece.len());
            self.used = 0;
        }
        let rest = self.piece.get(self.used..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.used = self.used.saturating_add(count);
        Ok(count)
    }
}
