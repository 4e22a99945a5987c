//! The journal's own form, `journalctl -o export`: a field on each line, `KEY=VALUE`, and an empty line after each
//! record. What is not printable comes as the key, eight bytes of length, and so many bytes.

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
