//! Content that is used while it is still coming: a thread reads what the connection gives.

use std::io::{self, BufRead, Read};
use std::thread::{self, JoinHandle};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// How many pieces may wait for the reader.
const WAITING: usize = 2;

/// A thread that reads, and the way to it. Dropped early, it ends the thread, whose reader then sees an early end.
pub(crate) struct Pipe<T> {
    sender: Option<mpsc::Sender<Bytes>>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Pipe<T> {
    /// Starts a thread that reads.
    pub(crate) fn new(read: impl FnOnce(Incoming) -> T + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let incoming = Incoming { receiver, piece: Bytes::new() };
        Self { sender: Some(sender), thread: Some(thread::spawn(move || read(incoming))) }
    }

    /// Hands over a piece. A reader that has had enough is no failure.
    pub(crate) async fn push(&mut self, piece: Bytes) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(piece).await;
        }
    }

    /// Says that this was all, and returns what the thread made of it.
    ///
    /// # Errors
    /// When the thread panicked.
    pub(crate) fn finish(mut self) -> io::Result<T> {
        self.sender = None;
        let ended = self.thread.take().and_then(|thread| thread.join().ok());
        ended.ok_or_else(|| io::Error::other("reading it failed"))
    }
}

impl<T> Drop for Pipe<T> {
    fn drop(&mut self) {
        // What the thread holds, such as a temporary file, is gone when this returns.
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What comes.
pub(crate) struct Incoming {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl BufRead for Incoming {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => break,
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, bytes: usize) {
        self.piece.advance(bytes);
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
