//! CSV and its kin: what exports of log stores and of spreadsheets are, with a first row that names the columns.

use std::io::{self, BufRead};

use super::event::KEY;
use super::labels::{is_column, normal};

/// As much of a text is looked at to tell its form.
const SNIFFED_BYTES: usize = 1 << 16;

/// The character between the fields, if the text begins with a row of column names.
pub(super) fn delimiter(begin: &[u8]) -> Option<u8> {
    let begin = begin.get(..begin.len().min(SNIFFED_BYTES)).unwrap_or_default();
    let first = begin.split(|byte| *byte == b'\n').next().filter(|line| line.len() < begin.len())?;
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
pub(super) fn each(text: impl BufRead, delimiter: u8, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);
    let names: Vec<String> =
        reader.byte_headers().map_err(of_csv)?.iter().map(|name| text_of(name).trim().to_owned()).collect();
    let mut fields = csv::ByteRecord::new();
    let mut line = reader.position().line();
    // The names are a line, too.
    let mut lines = line.saturating_sub(1);
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
            assert_eq!(delimiter(text.as_bytes()), wanted, "{text}");
        }
    }
}
