//! Text that is no text as it stands: escaped, packed, or cut off in an event.

use std::io::Read as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::read::MultiGzDecoder;
use memchr::memmem;

use super::event::KEY;
use super::{json, known};

/// Whether it may hold text that is no text as it stands: gzip in base64, as CloudWatch hands records on, or an array
/// of bytes, as the journal writes what is not printable.
pub(super) fn is_packed(text: &str) -> bool {
    memmem::find(text.as_bytes(), b"\"H4sI").is_some()
        || ["\"MESSAGE\":[", "\"MESSAGE\" : [", "\"MESSAGE\": ["].iter().any(|key| text.contains(key))
        || is_bytes(text)
}

/// Whether it is an array of small numbers.
fn is_bytes(text: &str) -> bool {
    text.starts_with('[') && text.bytes().all(|byte| byte.is_ascii_digit() || b"[], \n".contains(&byte))
}

/// The text in gzip in base64, or in an array of bytes; none if it is neither.
pub(super) fn unpacked(json: &str) -> Option<String> {
    /// A record that is greater is not unpacked.
    const MOST_BYTES: u64 = 1 << 26;
    if is_bytes(json) {
        let bytes: Vec<u8> = serde_json::from_str(json).ok()?;
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    let text = json::string(json)?;
    let bytes = BASE64_STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.starts_with(b"\x1f\x8b"))?;
    let mut plain = Vec::new();
    MultiGzDecoder::new(&bytes[..]).take(MOST_BYTES).read_to_end(&mut plain).ok()?;
    Some(String::from_utf8_lossy(&plain).into_owned())
}

/// The text without one layer of escapes; none if it has none.
pub(super) fn unescaped(text: &str) -> Option<String> {
    if text.contains("\\\"") {
        let mut plain = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match (c, c == '\\') {
                (_, true) => match characters.next() {
                    Some('n') => plain.push('\n'),
                    Some('t') => plain.push('\t'),
                    Some('r') => plain.push('\r'),
                    Some('u') => plain.push_str("\\u"),
                    Some(other) => plain.push(other),
                    None => {}
                },
                _ => plain.push(c),
            }
        }
        return Some(plain);
    }
    const FORMS: [(&str, &str); 4] = [("\"\"", "\""), ("&quot;", "\""), ("&#34;", "\""), ("\\x22", "\"")];
    let holds_key = |quote: &str| text.contains(&format!("{quote}{KEY}{quote}"));
    FORMS.iter().find(|(quote, _)| holds_key(quote)).map(|(quote, plain)| {
        text.replace(quote, plain).replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    })
}

/// How many events begin in a text.
pub(super) fn beginnings(text: &str) -> usize {
    let begins = |at: usize| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + KEY.len()..).unwrap_or_default().trim_start_matches(['\\', '"']);
        let Some(value) = after.trim_start().strip_prefix(':') else { return false };
        let value = value.trim_start().trim_start_matches(['\\', '"']);
        let name: &str = value.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap_or_default();
        let ends = name.len() == value.len();
        let known = known::names().any(|known| known == name || ends && known.starts_with(name));
        let versioned =
            value.get(name.len()..).unwrap_or_default().trim_start_matches(['\\', '"', ' ', ',']).starts_with('v');
        before.ends_with(['"']) && (known || versioned && !name.is_empty())
    };
    memmem::find_iter(text.as_bytes(), KEY.as_bytes()).filter(|at| begins(*at)).count()
}
