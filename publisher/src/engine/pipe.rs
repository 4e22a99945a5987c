//! From what is received, which is waited for, to what reads, which blocks: a channel of pieces between the two.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces under way.
const PIECES: usize = 16;

/// A pipe: what is written at one end is read at the other, on another thread. At most `most` bytes go through;
/// `progress` is told of them.
pub(super) fn pipe(most: u64, progress: &dyn Fn(u64)) -> (Writer<'_>, Reader) {
    let (sender, receiver) = channel(PIECES);
    (Writer { sender, most, written: 0, progress }, Reader { receiver, piece: Bytes::new() })
}

/// Where records are written to.
pub(super) struct Writer<'p> {
    sender: Sender<io::Result<Bytes>>,
    most: u64,
    written: u64,
    progress: &'p dyn Fn(u64),
}

/// Whether anyone reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    More,
    Nothing,
}

impl Writer<'_> {
    /// Writes a piece, and waits while too many are under way.
    ///
    /// # Errors
    /// When more comes than the records that were asked for can have.
    pub(super) async fn write(&mut self, piece: Bytes) -> anyhow::Result<Demand> {
        (self.progress)(piece.len() as u64);
        self.written = self.written.saturating_add(piece.len() as u64);
        anyhow::ensure!(
            self.written <= self.most,
            "cannot read the events: the answer has more than {} bytes, which is more than the records that were \
             counted can have; ask for a shorter time or less by --query, or check that --logs names the engine",
            self.most
        );
        Ok(match self.sender.send(Ok(piece)).await {
            Ok(()) => Demand::More,
            Err(_) => Demand::Nothing,
        })
    }

    /// Ends the pipe: the reader gets an error where not all came, so that it does not take a part for the whole.
    pub(super) async fn close(self, whole: bool) {
        if !whole {
            let _ = self.sender.send(Err(io::ErrorKind::ConnectionAborted.into())).await;
        }
    }
}

/// What was written.
pub(super) struct Reader {
    receiver: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.piece.has_remaining() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let read = self.piece.len().min(into.len());
        self.piece.copy_to_slice(into.get_mut(..read).unwrap_or_default());
        Ok(read)
    }
}
