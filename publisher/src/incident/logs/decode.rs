//! From a file's bytes to text: gzip, zstd and tar are opened, whatever they are packed in, and UTF-16 becomes UTF-8.
//!
//! What a file is tells its beginning, not its name: logs are renamed, and piped.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// As deep may archives and compressions lie in each other.
const MAX_LAYERS: u32 = 4;

/// As much of a beginning tells what a file is: a block of tar.
const HEAD_BYTES: usize = 512;

/// Bytes that are read at once; of a text, the first ones tell its form.
const BUFFER_BYTES: usize = 1 << 16;

/// What begins like this cannot be read, and what to do about it.
const UNREADABLE: [(&[u8], &str); 8] = [
    (b"\xfd7zXZ\0", "is compressed by xz: unpack it first (`xz -dc FILE | faultline …`)"),
    (b"BZh", "is compressed by bzip2: unpack it first (`bzip2 -dc FILE | faultline …`)"),
    (b"\x04\x22\x4d\x18", "is compressed by lz4: unpack it first (`lz4 -dc FILE | faultline …`)"),
    (b"\xff\x06\0\0sNaPpY", "is compressed by snappy: unpack it first"),
    (b"PK\x03\x04", "is a zip archive: unpack it first (`unzip -p FILE | faultline …`)"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
    (b"PAR1", "is a Parquet file: export it as JSON or CSV"),
    (b"SQLite format 3\0", "is a database: export it as JSON or CSV"),
];

/// The text of one file, or of one file in an archive.
pub(super) struct Text<'a> {
    /// Its path in the archive; empty if it is in none.
    pub(super) entry: String,
    /// UTF-8, as far as the bytes are text at all.
    pub(super) reader: Box<dyn BufRead + 'a>,
}

/// What takes texts in, one after the other.
pub(super) type Sink<'s> = dyn FnMut(Result<Text<'_>, NoText>) -> io::Result<()> + 's;

/// A file in an archive that was not read, or not to its end.
#[derive(Debug)]
pub(super) enum NoText {
    /// It holds no text.
    Foreign,
    /// It is damaged: its path in the archive, and the reason.
    Damaged(String, String),
}

/// Gives the sink every text that these bytes hold.
///
/// # Errors
/// Those of reading; and [`io::ErrorKind::Unsupported`], with the reason, for a file that holds no text. In an archive
/// such a file is only told.
pub(super) fn texts(bytes: Box<dyn Read + '_>, sink: &mut Sink<'_>) -> io::Result<()> {
    layer(bytes, String::new(), MAX_LAYERS, sink)
}

/// What was looked at, and the rest.
type Peeked<'a> = Chain<Cursor<Vec<u8>>, Box<dyn Read + 'a>>;

fn layer(mut bytes: Box<dyn Read + '_>, entry: String, layers: u32, sink: &mut Sink<'_>) -> io::Result<()> {
    let begin = head(&mut bytes)?;
    let deeper = layers.checked_sub(1);
    let head = begin.get(..HEAD_BYTES).unwrap_or(&begin);
    let unreadable = unreadable(head);
    let encoding = utf16(head);
    let gzip = head.starts_with(b"\x1f\x8b");
    let zstd = is_zstd(head);
    let tar = head.get(257..262) == Some(b"ustar");
    let whole: Peeked<'_> = Cursor::new(begin).chain(bytes);
    match (deeper, encoding) {
        (Some(deeper), _) if gzip => layer(Box::new(MultiGzDecoder::new(buffered(whole))), entry, deeper, sink),
        (Some(deeper), _) if zstd => layer(Box::new(Zstd::new(buffered(whole))), entry, deeper, sink),
        (Some(deeper), _) if tar => archive(whole, &entry, deeper, sink),
        (_, Some(encoding)) => {
            let decoder = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(whole);
            sink(Ok(Text { entry, reader: Box::new(buffered(decoder)) }))
        }
        _ => match unreadable {
            Some(_) if !entry.is_empty() => sink(Err(NoText::Foreign)),
            Some(reason) => Err(io::Error::new(io::ErrorKind::Unsupported, reason)),
            None => {
                let mut reader = buffered(whole);
                if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
                    reader.consume(3);
                }
                sink(Ok(Text { entry, reader: Box::new(reader) }))
            }
        },
    }
}

/// Whether bytes are not what they should be, and not a disk or a pipe that fails.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
}

fn archive(whole: Peeked<'_>, outer: &str, layers: u32, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut archive = tar::Archive::new(whole);
    for file in archive.entries()? {
        let file = file?;
        if !file.header().entry_type().is_file() || file.size() == 0 {
            continue;
        }
        let path = file.path()?.to_string_lossy().into_owned();
        let name = if outer.is_empty() { path } else { format!("{outer}/{path}") };
        match layer(Box::new(file), name.clone(), layers, sink) {
            // The others in the archive are whole; where the archive itself is cut, the next entry tells.
            Err(error) if is_damage(&error) => sink(Err(NoText::Damaged(name, error.to_string())))?,
            read => read?,
        }
    }
    Ok(())
}

/// As many zeros before a text are no text in UTF-16.
const HOLE_BYTES: usize = 16;

/// The beginning. Before it may be a hole: of a log that was emptied while a program went on writing where it was, or
/// whose machine crashed. What is all zeros is given as it is.
fn head(bytes: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = beginning(bytes, Vec::new())?;
    loop {
        let zeros = head.iter().take_while(|byte| **byte == 0).count();
        if zeros < HOLE_BYTES {
            return Ok(head);
        }
        let rest = beginning(bytes, head.split_off(zeros))?;
        if rest.is_empty() {
            return Ok(head);
        }
        head = rest;
    }
}

/// These bytes and more. A first read is enough for all but tar: what is still being written must not be waited for.
fn beginning(bytes: &mut dyn Read, mut head: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut filled = head.len();
    head.resize(BUFFER_BYTES.max(filled), 0);
    while filled < HEAD_BYTES {
        let read = match bytes.read(&mut head[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        filled += read;
        // A text line has begun: it may be all there is for a long time.
        if read == 0 || filled >= 4 && head[..filled].contains(&b'\n') {
            break;
        }
    }
    head.truncate(filled);
    Ok(head)
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

fn unreadable(head: &[u8]) -> Option<&'static str> {
    let known = UNREADABLE.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, reason)| *reason);
    // A terminal's recording may hold a stray sign; a program, a database or what is encrypted holds many.
    let signs = head.iter().filter(|byte| byte.is_ascii_control() && !b"\t\n\x0c\r\x1b".contains(byte)).count();
    known.or_else(|| (signs * 20 > head.len()).then_some("is no text: name a log, or a file that holds logs"))
}

/// UTF-16 by its mark, or by the zero in every other byte, and in no further ones, of what is plain English. A program
/// or a dump has zeros in all places.
fn utf16(head: &[u8]) -> Option<&'static Encoding> {
    let zeros = |from: usize| head.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let alternate = |many: usize, few: usize| zeros(many) * 10 > head.len() * 4 && zeros(few) * 50 <= head.len();
    match head {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        _ if head.len() >= 8 && alternate(1, 0) => Some(UTF_16LE),
        _ if head.len() >= 8 && alternate(0, 1) => Some(UTF_16BE),
        _ => None,
    }
}

/// A frame of zstd, or one that may be skipped.
fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(b"\x28\xb5\x2f\xfd") || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Reads frames of zstd one after the other, as `cat a.zst b.zst` makes them.
struct Zstd<R: BufRead> {
    /// The bytes, while no frame is open.
    rest: Option<R>,
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Zstd<R> {
    fn new(bytes: R) -> Self {
        Self { rest: Some(bytes), frame: None }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(into)?;
                if read > 0 || into.is_empty() {
                    return Ok(read);
                }
                self.rest = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            let begun = rest.fill_buf()?;
            if begun.is_empty() {
                return Ok(0);
            }
            if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = begun {
                let mut head = [0; 8];
                rest.read_exact(&mut head)?;
                let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
                io::copy(&mut rest.by_ref().take(length), &mut io::sink())?;
                self.rest = Some(rest);
                continue;
            }
            let opened = StreamingDecoder::new(rest);
            self.frame = Some(opened.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?);
        }
    }
}
