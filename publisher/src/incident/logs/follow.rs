//! Follows logs as they grow: standard input to its end, files through rotation and truncation.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::input::FileNames;
use super::reader::{self, Counts, Told};

/// How often a file is looked at for more.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What is read ahead.
const READ_AHEAD: usize = 256;

/// What a log told, or how much of it was read when it ended.
#[derive(Debug)]
pub(crate) enum News {
    /// Something was told; `file` is whose the file is by its name, empty for standard input.
    Told {
        /// Names the proxy where the record does not.
        file: String,
        /// What it was.
        told: Box<Told>,
    },
    /// A log has ended.
    Ended(Counts),
}

/// Follows all of the files, from their beginnings; `-` is standard input, which ends. The receiver ends when all of
/// them have.
///
/// # Errors
/// When a file cannot be opened; the receiver gets an error when one cannot be read any more.
pub(crate) fn start(files: Vec<PathBuf>) -> anyhow::Result<Receiver<io::Result<News>>> {
    let (sender, receiver) = channel(READ_AHEAD);
    let names = Arc::new(Mutex::new(FileNames::of(&files)));
    let several = files.len();
    for file in files {
        let named = || format!("cannot read the log `{}`", file.display());
        // A file that is not there is a slip of the keyboard; one that goes away later is being rotated.
        let opened = if file == Path::new("-") { None } else { Some(File::open(&file).with_context(named)?) };
        let sender = sender.clone();
        let names = Arc::clone(&names);
        // On threads of their own: neither a pipe nor a file can be waited for otherwise.
        std::thread::spawn(move || match opened {
            None => follow(several, &file, &names, Box::new(io::stdin().lock()), &sender),
            Some(opened) => {
                let tail = Tail { path: &file, file: opened, position: 0, last: b'\n', next: None };
                follow(several, &file, &names, Box::new(tail), &sender);
            }
        });
    }
    Ok(receiver)
}

fn follow(
    files: usize,
    file: &Path,
    names: &Mutex<FileNames>,
    bytes: Box<dyn Read + '_>,
    sender: &Sender<io::Result<News>>,
) {
    let shown = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let name = |entry: &str| names.lock().unwrap_or_else(PoisonError::into_inner).source(file, entry).path();
    let own = name("");
    let read = reader::read_of(files, &shown, Ok(bytes), &mut |entry, told| {
        let file = if entry.is_empty() { own.clone() } else { name(entry) };
        let told = Box::new(told);
        sender.blocking_send(Ok(News::Told { file, told })).is_ok()
    });
    let _ = sender.blocking_send(read.map(News::Ended));
}

/// A file that has no end: what is there, and then what is added, as `tail -F` gives it.
struct Tail<'p> {
    path: &'p Path,
    file: File,
    position: u64,
    /// The last byte that was read.
    last: u8,
    next: Option<File>,
}

impl Read for Tail<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(into)?;
            self.position += read as u64;
            if let Some(last) = read.checked_sub(1).and_then(|last| into.get(last)) {
                self.last = *last;
                return Ok(read);
            }
            if let Some(next) = self.next.take() {
                (self.file, self.position) = (next, 0);
            } else {
                std::thread::sleep(POLL_INTERVAL);
                let truncated = self.file.metadata().is_ok_and(|now| now.len() < self.position);
                if !(truncated && self.file.seek(SeekFrom::Start(0)).is_ok()) {
                    // Before another file is begun, this one is read to its end once more: it may have grown since the
                    // last look.
                    self.next = replacement(self.path, &self.file);
                    continue;
                }
                self.position = 0;
            }
            // What was begun in the old file does not go on in the new one.
            if self.last != b'\n'
                && let Some(byte) = into.first_mut()
            {
                (*byte, self.last) = (b'\n', b'\n');
                return Ok(1);
            }
        }
    }
}

/// The file that is at the path now, if it is another one.
#[cfg(unix)]
fn replacement(path: &Path, open: &File) -> Option<File> {
    use std::os::unix::fs::MetadataExt;
    let (there, here) = (std::fs::metadata(path).ok()?, open.metadata().ok()?);
    ((there.dev(), there.ino()) != (here.dev(), here.ino())).then(|| File::open(path).ok())?
}

/// Where files have no number, only truncation is noticed.
#[cfg(not(unix))]
fn replacement(_: &Path, _: &File) -> Option<File> {
    None
}
