//! The small part of HTTP/2 that a scripted endpoint needs: reading requests, answering with header blocks and resets.
//!
//! The content of requests is ignored, so their header blocks are never decoded; header blocks of answers are written
//! without compression. Not here: flow control (answers have no body), priorities, pushes.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The first bytes that an HTTP/2 client sends.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Which part of an answer a header block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// More follows.
    First,
    /// It ends the answer.
    Last,
}

/// The server's side of one connection.
pub(crate) struct Connection<'a> {
    stream: &'a TcpStream,
}

impl<'a> Connection<'a> {
    /// Reads the client's preface and sends the first settings frame.
    pub(crate) fn accept(mut stream: &'a TcpStream) -> io::Result<Self> {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface)?;
        let connection = Self { stream };
        connection.write(SETTINGS, 0, 0, &[])?;
        Ok(connection)
    }

    /// Reads until a request is complete, and returns the number of its stream; `None` if the client is gone.
    pub(crate) fn next_request(&self) -> io::Result<Option<u32>> {
        loop {
            let mut head = [0; 9];
            match (&mut &*self.stream).read_exact(&mut head) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(io::Error::other)?];
            (&mut &*self.stream).read_exact(&mut payload)?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload)?,
                HEADERS | DATA if flags & END_STREAM != 0 => return Ok(Some(u32::from_be_bytes(stream))),
                _ => {}
            }
        }
    }

    /// Sends a header block: an answer's headers, or its trailers.
    pub(crate) fn headers(&self, stream: u32, headers: &[(&str, &str)], part: Part) -> io::Result<()> {
        let mut block = Vec::new();
        for (name, value) in headers {
            // A literal that is not indexed, with its full name.
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).ok_or(io::ErrorKind::InvalidInput)?);
                block.extend_from_slice(text.as_bytes());
            }
        }
        let end = if part == Part::Last { END_STREAM } else { 0 };
        self.write(HEADERS, END_HEADERS | end, stream, &block)
    }

    /// Resets a stream with INTERNAL_ERROR.
    pub(crate) fn reset(&self, stream: u32) -> io::Result<()> {
        self.write(RST_STREAM, 0, stream, &2_u32.to_be_bytes())
    }

    fn write(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        (&mut &*self.stream).write_all(&frame)
    }
}
