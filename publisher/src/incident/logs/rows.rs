//! CSV and its kin: what exports of log stores and of spreadsheets are, with a first row that names the columns.

use std::io::{self, BufRead};

use memchr::memmem;

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
            return delimiter(line).map(|delimiter| Form { delimiter, has_backslashes, before });
        }
        (rest, before) = (below, before + 1);
    }
    None
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
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(form.delimiter).flexible(true);
    if form.has_backslashes {
        builder.double_quote(false).escape(Some(b'\\'));
    }
    let mut reader = builder.from_reader(text);
    let names: Vec<String> =
        reader.byte_headers().map_err(of_csv)?.iter().map(|name| text_of(name).trim().to_owned()).collect();
    let mut fields = csv::ByteRecord::new();
    let mut line = reader.position().line();
    // The names are a line, too.
    let mut lines = line.saturating_sub(1) + form.before;
    while reader.read_byte_record(&mut fields).map_err(of_csv)? {
        lines += reader.position().line().saturating_sub(line);
        line = reader.position().line();
        let named = |(at, field)| (names.get(at).cloned().unwrap_or_default(), text_of(field));
        let row: Vec<(String, String)> = fields.iter().enumerate().map(named).collect();
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
