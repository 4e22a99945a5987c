//! Follows logs as they grow: standard input to its end, files through rotation and truncation.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::input::next_line;

/// How often a file is looked at for more.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Lines that are read ahead.
const LINES_AHEAD: usize = 256;

/// A line, and the log it is of.
#[derive(Debug)]
pub(crate) struct LogLine {
    /// The file's name without its extension; empty for standard input.
    pub(crate) file: String,
    /// The line without its end.
    pub(crate) text: String,
}

/// Follows all of the files, from their beginnings; `-` is standard input, which ends. The receiver ends when all of
/// them have.
///
/// # Errors
/// When a file cannot be opened; the receiver gets an error when one cannot be read any more.
pub(crate) fn start(files: Vec<PathBuf>) -> anyhow::Result<Receiver<io::Result<LogLine>>> {
    let (sender, receiver) = channel(LINES_AHEAD);
    for file in files {
        let named = || format!("cannot read the log `{}`", file.display());
        // A file that is not there is a slip of the keyboard; one that goes away later is being rotated.
        let opened = if file == Path::new("-") { None } else { Some(File::open(&file).with_context(named)?) };
        let sender = sender.clone();
        // On threads of their own: neither a pipe nor a file can be waited for otherwise.
        std::thread::spawn(move || match opened {
            None => follow_stdin(&sender),
            Some(opened) => follow_file(&file, opened, &sender),
        });
    }
    Ok(receiver)
}

fn follow_stdin(sender: &Sender<io::Result<LogLine>>) {
    let mut reader = io::stdin().lock();
    while let Some(read) = next_line(&mut reader).transpose() {
        let failed = read.is_err();
        let line = read.map(|text| LogLine { file: String::new(), text });
        if sender.blocking_send(line).is_err() || failed {
            return;
        }
    }
}

/// Reads what is there and then what is added, as `tail -F` does. Only whole lines are sent.
fn follow_file(path: &Path, file: File, sender: &Sender<io::Result<LogLine>>) {
    let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    let mut position: u64 = 0;
    let mut next = None;
    loop {
        match file.read_until(b'\n', &mut line) {
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
            Ok(read) => position += read as u64,
        }
        if line.last() == Some(&b'\n') {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            line.clear();
            if sender.blocking_send(Ok(LogLine { file: name.clone(), text })).is_err() {
                return;
            }
            continue;
        }
        if let Some(next) = next.take() {
            file = BufReader::new(next);
            position = 0;
            line.clear();
            continue;
        }
        std::thread::sleep(POLL_INTERVAL);
        let truncated = file.get_ref().metadata().is_ok_and(|now| now.len() < position);
        if truncated && file.seek(SeekFrom::Start(0)).is_ok() {
            position = 0;
            line.clear();
        } else {
            // Before another file is begun, this one is read to its end once more: it may have grown since the last
            // look.
            next = replacement(path, file.get_ref());
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
