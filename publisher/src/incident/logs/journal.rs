//! The journal's own forms. `journalctl -o export` has a field on each line, `KEY=VALUE`, and an empty line after each
//! record; what is not printable comes as the key, eight bytes of length, and so many bytes. `journalctl -o verbose`
//! has the fields indented, below a line with the record's time and place in the journal.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

/// What a record begins with.
const FIRST: [&[u8]; 2] = [b"__CURSOR=", b"__REALTIME_TIMESTAMP="];

/// Longer fields are skipped.
const MOST_BYTES: u64 = 1 << 20;

/// Whether a text is of that form.
pub(super) fn is_export(begin: &[u8]) -> bool {
    FIRST.iter().any(|first| begin.starts_with(first))
}

/// What takes a record in, as a JSON object, with the lines that it was; false when it wants no more.
pub(super) type Sink<'s> = dyn FnMut(String, u64) -> bool + 's;

/// Gives the sink every record.
///
/// # Errors
/// Those of reading.
pub(super) fn each(mut text: impl BufRead, sink: &mut Sink<'_>) -> io::Result<()> {
    let (mut fields, mut lines) = (Map::new(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut text).take(MOST_BYTES).read_until(b'\n', &mut line)?;
        if read as u64 == MOST_BYTES && !line.ends_with(b"\n") {
            text.skip_until(b'\n')?;
        }
        lines += u64::from(read > 0);
        let field = line.strip_suffix(b"\n").unwrap_or(&line);
        if field.is_empty() {
            let record = Value::Object(std::mem::take(&mut fields));
            let is_record = record.as_object().is_some_and(|fields| !fields.is_empty());
            if is_record && !sink(record.to_string(), std::mem::take(&mut lines)) || read == 0 {
                return Ok(());
            }
            continue;
        }
        let (key, value) = match memchr::memchr(b'=', field) {
            Some(at) => (text_of(&field[..at]), text_of(&field[at + 1..])),
            None => (text_of(field), binary(&mut text)?),
        };
        // A field may come several times: the first counts, as it does for the journal's own JSON.
        fields.entry(key).or_insert(Value::String(value));
    }
}

/// Whether a text is of the form with indented fields. Before the first record, remarks may stand.
pub(super) fn is_verbose(begin: &[u8]) -> bool {
    let mut lines = begin.split(|byte| *byte == b'\n').skip_while(|line| line.starts_with(b"-- "));
    lines.next().is_some_and(is_head)
        && lines.next().is_some_and(|line| line.starts_with(b"    ") && line.contains(&b'='))
}

/// Whether a record begins with this line: `Fri 2026-11-20 15:43:09.567000 UTC [s=…;i=…]`.
fn is_head(line: &[u8]) -> bool {
    !line.starts_with(b" ") && line.trim_ascii_end().ends_with(b"]") && memchr::memmem::find(line, b" [s=").is_some()
}

/// As [`each`], for the form with indented fields.
///
/// # Errors
/// Those of reading.
pub(super) fn each_verbose(mut text: impl BufRead, sink: &mut Sink<'_>) -> io::Result<()> {
    let (mut fields, mut lines): (Map<String, Value>, u64) = (Map::new(), 0);
    let mut last = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut text).take(MOST_BYTES).read_until(b'\n', &mut line)?;
        if read as u64 == MOST_BYTES && !line.ends_with(b"\n") {
            text.skip_until(b'\n')?;
        }
        if read == 0 || is_head(&line) {
            let record = Value::Object(std::mem::take(&mut fields)).to_string();
            let is_record = lines > 0 && record != "{}";
            if is_record && !sink(record, std::mem::take(&mut lines)) || read == 0 {
                return Ok(());
            }
            lines += 1;
            continue;
        }
        lines += 1;
        let field = text_of(line.trim_ascii());
        match field.split_once('=').filter(|(key, _)| is_key(key)) {
            Some((key, value)) => {
                key.clone_into(&mut last);
                fields.entry(key).or_insert(Value::String(value.to_owned()));
            }
            // The second line of a message, and those after it.
            None => {
                if let Some(Value::String(value)) = fields.get_mut(&last) {
                    value.push('\n');
                    value.push_str(&field);
                }
            }
        }
    }
}

/// Whether it is a field's name.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A field's value that is not printable.
fn binary(text: &mut impl BufRead) -> io::Result<String> {
    let mut length = [0; 8];
    text.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut value = Vec::new();
    text.take(length.min(MOST_BYTES)).read_to_end(&mut value)?;
    io::copy(&mut text.take(length.saturating_sub(MOST_BYTES)), &mut io::sink())?;
    text.skip_until(b'\n')?;
    Ok(text_of(&value))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_fields_become_records() {
        let text = "-- Boot 1 --\nFri 2026-11-20 15:43:09 UTC [s=1;i=2]\n    _HOSTNAME=n\n    MESSAGE=a b=c\n       \
                    second\nFri 2026-11-20 15:43:10 UTC [s=1;i=3]\n    MESSAGE=d\n";
        assert!(is_verbose(text.as_bytes()) && !is_verbose(b"[s=1]\nx"));
        let mut records = Vec::new();
        let mut take = |record: String, lines: u64| {
            let record: Value = serde_json::from_str(&record).unwrap();
            records.push((record["MESSAGE"].clone(), record["_HOSTNAME"].clone(), lines));
            true
        };
        each_verbose(text.as_bytes(), &mut take).unwrap();
        assert_eq!(records, [("a b=c\nsecond".into(), "n".into(), 5), ("d".into(), Value::Null, 2)]);
    }

    #[test]
    fn fields_become_records_whether_they_are_printable_or_not() {
        let long = "x".repeat(MOST_BYTES as usize + 7);
        let mut text =
            b"__CURSOR=s=1;i=2\n_HOSTNAME=n\nMESSAGE\n\x04\0\0\0\0\0\0\0a\n\tb\n_HOSTNAME=m\n\n__CURSOR=t\n".to_vec();
        text.extend(format!("LONG={long}\nMESSAGE=c").into_bytes());
        assert!(is_export(&text));
        let mut records = Vec::new();
        let mut take = |record: String, lines: u64| {
            let record: Value = serde_json::from_str(&record).unwrap();
            records.push((record["MESSAGE"].clone(), record["_HOSTNAME"].clone(), lines));
            true
        };
        each(text.as_slice(), &mut take).unwrap();
        assert_eq!(records, [("a\n\tb".into(), "n".into(), 5), ("c".into(), Value::Null, 3)]);
        let cut = &b"__CURSOR=s\nMESSAGE\n\x09\0\0\0"[..];
        assert!(each(cut, &mut |_, _| true).is_err());
    }
}
