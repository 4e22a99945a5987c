//! CSV and its kin: what exports of log stores and of spreadsheets are, with a first row that names the columns or
//! without one.

use std::io::{self, BufRead};

use memchr::memmem;

use super::columns;
use super::event::KEY;
use super::labels::{is_column, normal};

/// As much of a text is looked at to tell its form.
const SNIFFED_BYTES: usize = 1 << 16;

/// How a text's rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The character between the fields.
    pub(super) delimiter: u8,
    /// Whether quotes within a field have a backslash before them, as Spark writes them, and are not doubled.
    has_backslashes: bool,
    /// The lines before the names: comments, and spreadsheets' `sep=,`.
    before: u64,
    /// Whether the first row names the columns. Where it does not, the values tell.
    is_named: bool,
}

/// The form of the rows, if the text begins with a row of column names, comments aside.
pub(super) fn form(begin: &[u8]) -> Option<Form> {
    let mut rest = begin.get(..begin.len().min(SNIFFED_BYTES)).unwrap_or_default();
    let has_backslashes = memmem::find(rest, b"{\\\"").is_some() && memmem::find(rest, b"{\"\"").is_none();
    let mut before = 0;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, below) = (rest.get(..end)?, rest.get(end + 1..)?);
        let is_comment =
            line.starts_with(b"#") || line.starts_with(b"sep=") || (before > 0 && line.trim_ascii().is_empty());
        if !is_comment {
            return delimiter(line).map(|delimiter| Form { delimiter, has_backslashes, before, is_named: true });
        }
        (rest, before) = (below, before + 1);
    }
    None
}

/// The key of an event in a quoted field.
const KEY_DOUBLED: &[u8] = b"\"\"faultline\"\"";

/// As many rows are compared to tell a table without names.
const COMPARED: usize = 50;

/// The form of rows without known names of columns: as many fields in each, and events in quoted ones.
pub(super) fn bare(begin: &[u8]) -> Option<Form> {
    let begin = begin.get(..begin.len().min(SNIFFED_BYTES)).unwrap_or_default();
    if begin.starts_with(b"{") || begin.starts_with(b"[") || memmem::find(begin, KEY_DOUBLED).is_none() {
        return None;
    }
    b",;\t|".iter().copied().find_map(|delimiter| {
        let form = Form { delimiter, has_backslashes: false, before: 0, is_named: false };
        let mut reader = form.reader(begin);
        let (mut row, mut widths, mut quoted, mut from) = (csv::ByteRecord::new(), Vec::new(), 0, 0);
        while widths.len() < COMPARED && reader.read_byte_record(&mut row).ok()? {
            let to = usize::try_from(reader.position().byte()).ok()?;
            // The last one may go on.
            if to >= begin.len() && !begin.ends_with(b"\n") && !widths.is_empty() {
                break;
            }
            let raw = begin.get(from..to)?.trim_ascii();
            let opens = raw.starts_with(b"\"") || memmem::find(raw, &[delimiter, b'"']).is_some();
            quoted += usize::from(opens && (row.len() > 1 || is_one_field(raw)));
            widths.push(row.len());
            from = to;
        }
        // The first row may hold names that nobody knows.
        let alike = widths.iter().all(|width| Some(width) == widths.first()) && quoted > 0;
        (alike && quoted + 1 >= widths.len()).then_some(form)
    })
}

/// Whether a row is one quoted field and nothing else.
fn is_one_field(raw: &[u8]) -> bool {
    let inner = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| {
        let inner = String::from_utf8_lossy(inner);
        !inner.replace("\"\"", "").contains('"')
    })
}

impl Form {
    fn reader<R: io::Read>(self, text: R) -> csv::Reader<R> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(self.delimiter).flexible(true).has_headers(self.is_named);
        if self.has_backslashes {
            builder.double_quote(false).escape(Some(b'\\'));
        }
        builder.from_reader(text)
    }
}

/// The character between a row of column names.
fn delimiter(first: &[u8]) -> Option<u8> {
    let first = std::str::from_utf8(first).ok()?.trim_end();
    if first.starts_with(['{', '[']) {
        return None;
    }
    b",;\t|".iter().copied().find(|delimiter| {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).delimiter(*delimiter).from_reader(first.as_bytes());
        let Some(Ok(names)) = reader.records().next() else { return false };
        let plain = |name: &str| {
            let name = name.trim();
            name.len() <= 100
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || "_@".contains(c))
                && name.chars().all(|c| c.is_alphanumeric() || "_@.-/ []()".contains(c))
        };
        let quoted = first.starts_with('"');
        (names.len() > 1 || quoted)
            && names.iter().all(plain)
            && names.iter().any(|name| is_column(&normal(name)) || name.trim().ends_with(KEY))
    })
}

/// What takes a row in, with the lines that it was; false when it wants no more.
pub(super) type Sink<'s> = dyn FnMut(&[(String, String)], u64) -> bool + 's;

/// Gives the sink every row, with the lines that it was; false from it ends the reading.
///
/// # Errors
/// Those of reading.
pub(super) fn each(mut text: impl BufRead, form: Form, sink: &mut Sink<'_>) -> io::Result<()> {
    for _ in 0..form.before {
        text.skip_until(b'\n')?;
    }
    let mut reader = form.reader(text);
    let names: Vec<String> = if form.is_named {
        reader.byte_headers().map_err(of_csv)?.iter().map(|name| text_of(name).trim().to_owned()).collect()
    } else {
        Vec::new()
    };
    let mut fields = csv::ByteRecord::new();
    let mut line = reader.position().line();
    // The names are a line, too.
    let mut lines = line.saturating_sub(1) + form.before;
    while reader.read_byte_record(&mut fields).map_err(of_csv)? {
        lines += reader.position().line().saturating_sub(line);
        line = reader.position().line();
        let named = |(at, field)| (names.get(at).cloned().unwrap_or_default(), text_of(field));
        let mut row: Vec<(String, String)> = fields.iter().enumerate().map(named).collect();
        if !form.is_named {
            columns::name(&mut row);
        }
        if !sink(&row, lines) {
            break;
        }
        lines = 0;
    }
    Ok(())
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What went wrong below; a row of other length than the first is none.
fn of_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_names_is_told_from_text() {
        for (text, wanted) in [
            ("timestamp,pod,message\n1,", Some(b',')),
            ("\"@timestamp\";\"kubernetes.pod_name\";\"log\"\n", Some(b';')),
            ("Date\tHost\tMessage\nx\ty\tz\n", Some(b'\t')),
            ("2026-11-20T15:43:30Z info starting, pod x\n", None),
            ("starting, now\nthen, that\n", None),
            ("{\"a\": 1, \"message\": 2}\n", None),
            ("message\n", None),
        ] {
            assert_eq!(form(text.as_bytes()).map(|form| form.delimiter), wanted, "{text}");
        }
    }

    #[test]
    fn names_may_stand_below_comments_and_quotes_behind_backslashes() {
        let rows = |text: &str| {
            let (mut rows, mut lines) = (Vec::new(), 0);
            let mut take = |row: &[(String, String)], more: u64| {
                rows.push(row.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>());
                lines += more;
                true
            };
            each(text.as_bytes(), form(text.as_bytes()).unwrap(), &mut take).unwrap();
            (rows, lines)
        };
        let wanted = vec![vec!["p0".to_owned(), r#"{"a":"b"}"#.to_owned()]];
        assert_eq!(rows("sep=,\npod,message\np0,\"{\"\"a\"\":\"\"b\"\"}\"\n"), (wanted.clone(), 3));
        assert_eq!(rows("# by a store\n\npod,message\np0,\"{\"\"a\"\":\"\"b\"\"}\"\n"), (wanted.clone(), 4));
        assert_eq!(rows("pod,message\np0,\"{\\\"a\\\":\\\"b\\\"}\"\n"), (wanted, 2));
    }
}
