//! From text to records: a line, a JSON value on one line or many, an element of a JSON array, or a row of CSV.
//!
//! Nothing is held but the record that is being read: a log may be greater than memory, or have no end.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader};

use memchr::{memchr, memchr_iter};

use super::extent::{Extent, Step};
use super::{frames, items, journal, json, markup, rows};

/// A longer line of text holds nothing of ours; the rest of it is skipped.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// A greater JSON value is not put together, but read line by line.
const MAX_VALUE_BYTES: usize = 1 << 28;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 16;

/// What is read as one.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// A line without its end.
    Line(Cow<'a, str>),
    /// A JSON object, or an element of an array.
    Json(Cow<'a, str>),
    /// A row of CSV: each field under its column's name, and what stands between them.
    Row(&'a [(String, String)], u8),
    /// A line that was too long to be read.
    TooLong,
    /// A JSON value that the text ends in; its lines follow.
    Unfinished,
}

/// A record and how many lines it was.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    pub(super) record: Record<'a>,
    pub(super) lines: u64,
}

/// What takes records in; false when it wants no more.
pub(super) type Sink<'s> = dyn FnMut(Counted<'_>) -> bool + 's;

/// Gives the sink every record of a text.
///
/// # Errors
/// Those of reading.
pub(super) fn each(mut text: Box<dyn BufRead + '_>, sink: &mut Sink<'_>) -> io::Result<()> {
    if returns_alone(text.fill_buf()?) {
        text = Box::new(BufReader::new(Returns(text)));
    }
    if markup::is_markup(text.fill_buf()?) {
        return markup::each(text, &mut |piece, lines| match piece {
            markup::Piece::Row(row) => sink(Counted { record: Record::Row(&row, b' '), lines }),
            markup::Piece::Line(line) => sink(Counted { record: Record::Line(Cow::Owned(line)), lines }),
        });
    }
    if items::is_list(text.fill_buf()?) {
        return items::each(text, &mut |item, lines| match item {
            Ok(json) => sink(Counted { record: Record::Json(Cow::Owned(json)), lines }),
            Err(text) => {
                let line = |line: &str| Counted { record: Record::Line(Cow::Owned(line.to_owned())), lines: 1 };
                text.lines().all(|one| sink(line(one)))
            }
        });
    }
    let begin = text.fill_buf()?;
    if let Some(form) = rows::form(begin).or_else(|| rows::bare(begin)) {
        return rows::each(text, form, &mut |row, lines| {
            sink(Counted { record: Record::Row(row, form.delimiter), lines })
        });
    }
    if journal::is_export(text.fill_buf()?) {
        return journal::each(text, &mut |record, lines| {
            sink(Counted { record: Record::Json(Cow::Owned(record)), lines })
        });
    }
    if journal::is_verbose(text.fill_buf()?) {
        return journal::each_verbose(text, &mut |record, lines| {
            sink(Counted { record: Record::Json(Cow::Owned(record)), lines })
        });
    }
    if frames::is_framed(text.fill_buf()?) {
        return frames::each(text, &mut |message| sink(Counted { record: Record::Line(line_of(message)), lines: 1 }));
    }
    each_value(text, sink)
}

/// Gives the sink every line and JSON value.
fn each_value(text: Box<dyn BufRead + '_>, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut text = Splitter { text, bytes: Vec::new(), begin: 0, ended: false, mode: Mode::Outside };
    while let Some(next) = text.next()? {
        let bytes = text.bytes.get(next.from..next.to).unwrap_or_default();
        let whole = text.bytes.get(text.begin..next.end).unwrap_or_default();
        let lines = match next.form {
            Form::Line => u64::from(whole.ends_with(b"\n")),
            _ => memchr_iter(b'\n', whole).count() as u64,
        };
        let last = u64::from(text.ended && next.end == text.bytes.len() && text.bytes.last() != Some(&b'\n'));
        let record = match next.form {
            Form::Line => Record::Line(plain(line_of(bytes))),
            Form::Json => Record::Json(text_of(bytes)),
            Form::Unfinished => Record::Unfinished,
            Form::TooLong => Record::TooLong,
        };
        let goes_on = sink(Counted { record, lines: lines + last });
        text.begin = next.end;
        if next.form == Form::TooLong {
            text.skip_line()?;
        }
        if !goes_on {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether lines end as they did on old Macintoshes, and do where a terminal's progress was kept.
fn returns_alone(begin: &[u8]) -> bool {
    let begin = begin.get(..begin.len().min(READ_BYTES)).unwrap_or_default();
    memchr(b'\n', begin).is_none() && memchr(b'\r', begin).is_some_and(|at| at + 1 < begin.len())
}

/// Text whose lines end so, with line ends.
struct Returns<'r>(Box<dyn BufRead + 'r>);

impl io::Read for Returns<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        into.iter_mut().take(read).filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        Ok(read)
    }
}

/// A line as text. Zeros in it are left out: PowerShell adds lines in UTF-16 to a file in another encoding, and a file
/// that was not written to its end after a crash has zeros before what was added later.
fn line_of(bytes: &[u8]) -> Cow<'_, str> {
    if memchr(0, bytes).is_none() {
        return text_of(bytes.trim_ascii_end());
    }
    let rest: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    Cow::Owned(text_of(rest.trim_ascii_end()).into_owned())
}

/// A line without what it was wrapped in: `jq -R` makes a JSON string of each.
fn plain(line: Cow<'_, str>) -> Cow<'_, str> {
    let text = line.trim().trim_end_matches(',');
    let is_string = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    let inner = is_string.then(|| json::string(text)).flatten().filter(|inner| !inner.trim_end().contains('\n'));
    match inner {
        Some(inner) => Cow::Owned(inner.trim_end().to_owned()),
        None => line,
    }
}

/// The bytes as text; what is none becomes signs that say so.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all is text, for which this is the faster way.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Line,
    Json,
    Unfinished,
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Between lines.
    Outside,
    /// Between the elements of an array that is the whole text, or a line of it.
    InArray,
    /// In a value that has no end: its lines are read as lines.
    LinesOnly,
}

/// Where a record stands in the bytes that are held, and where the next one begins.
struct Next {
    form: Form,
    from: usize,
    to: usize,
    end: usize,
}

struct Splitter<'r> {
    text: Box<dyn BufRead + 'r>,
    bytes: Vec<u8>,
    /// Where the next record begins in `bytes`.
    begin: usize,
    ended: bool,
    mode: Mode,
}

impl Splitter<'_> {
    fn next(&mut self) -> io::Result<Option<Next>> {
        if self.mode == Mode::InArray
            && let Some(next) = self.element()?
        {
            return Ok(Some(next));
        }
        let Some((from, byte)) = self.begin_of_line()? else { return Ok(None) };
        if self.mode == Mode::Outside && byte == b'{' {
            if let Some(next) = self.object(from)? {
                return Ok(Some(next));
            }
            if self.mode == Mode::LinesOnly {
                return Ok(Some(self.unfinished()));
            }
        } else if self.mode == Mode::Outside && byte == b'[' && self.opens_array(from)? {
            self.mode = Mode::InArray;
            self.blank(from);
            return self.next();
        }
        self.line().map(Some)
    }

    /// Where the line's first byte that is no blank is, and which one; none at the end of the text.
    fn begin_of_line(&mut self) -> io::Result<Option<(usize, u8)>> {
        let from = self.after_blanks(self.begin, b" \t\r")?;
        match self.bytes.get(from) {
            Some(byte) => Ok(Some((from, *byte))),
            // Blanks alone at the end of the text are no line.
            None => Ok(None),
        }
    }

    fn line(&mut self) -> io::Result<Next> {
        let mut looked = 0;
        let end = loop {
            let begun = self.bytes.get(self.begin..).unwrap_or_default();
            if let Some(at) = memchr(b'\n', begun.get(looked..).unwrap_or_default()) {
                break self.begin + looked + at + 1;
            }
            if self.ended || begun.len() >= MAX_LINE_BYTES {
                break self.bytes.len();
            }
            looked = begun.len();
            self.more(0)?;
        };
        let form = if end - self.begin >= MAX_LINE_BYTES { Form::TooLong } else { Form::Line };
        Ok(Next { form, from: self.begin, to: end, end })
    }

    /// An object that begins at `from`; none if it is no JSON, or there is text behind it.
    fn object(&mut self, from: usize) -> io::Result<Option<Next>> {
        let begin = from - self.begin;
        let Some(length) = self.value(begin)? else { return Ok(None) };
        let to = begin + length;
        let rest = self.after_blanks(self.begin + to, b" \t\r,")?;
        let (from, to) = (self.begin + begin, self.begin + to);
        match self.bytes.get(rest) {
            None => Ok(Some(Next { form: Form::Json, from, to, end: rest })),
            Some(b'\n') => Ok(Some(Next { form: Form::Json, from, to, end: rest + 1 })),
            // Firehose writes one object after the other.
            Some(b'{') => Ok(Some(Next { form: Form::Json, from, to, end: to })),
            Some(_) => Ok(None),
        }
    }

    /// The next element of an array; none at its end, or where it is no JSON any more.
    fn element(&mut self) -> io::Result<Option<Next>> {
        let from = self.after_blanks(self.begin, b" \t\r\n,")?;
        match self.bytes.get(from) {
            None => {
                self.mode = Mode::LinesOnly;
                return Ok(Some(self.unfinished()));
            }
            Some(b']') => {
                self.mode = Mode::Outside;
                self.blank(from);
                return Ok(None);
            }
            Some(_) => {}
        }
        let begin = from - self.begin;
        if let Some(length) = self.value(begin)? {
            let from = self.begin + begin;
            return Ok(Some(Next { form: Form::Json, from, to: from + length, end: from + length }));
        }
        if self.mode == Mode::LinesOnly {
            return Ok(Some(self.unfinished()));
        }
        // The rest is read by lines; this one must not be tried again.
        self.mode = Mode::Outside;
        self.line().map(Some)
    }

    /// How long the JSON value is that begins so many bytes after the record's beginning; none if it is no JSON, or has
    /// no end.
    fn value(&mut self, begin: usize) -> io::Result<Option<usize>> {
        let mut extent = Extent::new();
        loop {
            let bytes = self.bytes.get(self.begin + begin..).unwrap_or_default();
            match extent.follow(bytes) {
                Step::End(length) => return Ok(Some(length)),
                Step::No => return Ok(None),
                Step::More if self.ended || bytes.len() > MAX_VALUE_BYTES => {
                    // Of one line that is cut, the line tells all.
                    if memchr(b'\n', bytes.trim_ascii_end()).is_some() || self.mode == Mode::InArray {
                        self.mode = Mode::LinesOnly;
                    }
                    return Ok(None);
                }
                Step::More => self.more(0).map(drop)?,
            }
        }
    }

    fn unfinished(&self) -> Next {
        Next { form: Form::Unfinished, from: self.begin, to: self.begin, end: self.begin }
    }

    /// Whether an array of objects, arrays or texts begins at `from`. Envoy's own lines begin with a bracket, too.
    fn opens_array(&mut self, from: usize) -> io::Result<bool> {
        let next = self.after_blanks(from + 1, b" \t\r")?;
        Ok(matches!(self.bytes.get(next), None | Some(b'\n' | b'{' | b'[' | b'"' | b']')))
    }

    /// Where the first byte from `at` on is that is none of these; the end of the text if there is none.
    fn after_blanks(&mut self, at: usize, blanks: &[u8]) -> io::Result<usize> {
        let mut at = at;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            at += rest.iter().take_while(|byte| blanks.contains(byte)).count();
            if at < self.bytes.len() || self.ended {
                return Ok(at);
            }
            at = self.more(at)?;
        }
    }

    /// What was understood is not looked at again.
    fn blank(&mut self, at: usize) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte = b' ';
        }
    }

    /// Reads more, and gives where the byte at `place` is afterwards.
    fn more(&mut self, place: usize) -> io::Result<usize> {
        let mut place = place;
        if self.begin > self.bytes.len() / 2 {
            self.bytes.drain(..self.begin);
            place = place.saturating_sub(self.begin);
            self.begin = 0;
        }
        let old = self.bytes.len();
        self.bytes.resize(old + READ_BYTES, 0);
        let read = loop {
            match self.text.read(self.bytes.get_mut(old..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.truncate(old + read.as_ref().copied().unwrap_or_default());
        self.ended = read? == 0;
        Ok(place)
    }

    fn skip_line(&mut self) -> io::Result<()> {
        if self.bytes.get(self.begin.saturating_sub(1)) != Some(&b'\n') {
            self.text.skip_until(b'\n')?;
        }
        Ok(())
    }
}
