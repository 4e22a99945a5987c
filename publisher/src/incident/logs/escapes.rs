//! Text that is no text as it stands: escaped, packed, or cut off in an event.

use std::io::Read;
use std::ops::Range;
use std::sync::LazyLock;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use memchr::memmem;
use ruzstd::decoding::StreamingDecoder;

use super::event::KEY;
use super::known;

/// Whether it may hold text that is no text as it stands: base64, as Kinesis, Firehose and Pub/Sub hand records on and,
/// with gzip in it, CloudWatch; or an array of bytes, as the journal writes what is not printable.
pub(super) fn is_packed(text: &str) -> bool {
    has_base64(text) || has_message_in_bytes(text) || is_bytes(text)
}

/// Whether the journal's key of the message is there, and an array behind it.
fn has_message_in_bytes(text: &str) -> bool {
    const KEY: &str = "\"MESSAGE\"";
    static MESSAGE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));
    let after = |at: usize| text.get(at + KEY.len()..).unwrap_or_default().trim_start();
    MESSAGE.find_iter(text.as_bytes()).any(|at| after(at).strip_prefix(':').is_some_and(is_array))
}

fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

/// What gzip, zstd and, as a text of its own, zlib begin with, in base64.
const PACKED: [&str; 4] = ["H4sI", "KLUv/", "\"eJ", "\"eN"];

/// Whether it may hold an event, or what is compressed, in base64.
pub(super) fn has_base64(text: &str) -> bool {
    base64_at(text, 0).is_some()
}

/// Where the first sign of what is looked for in base64 is, from a place on.
fn base64_at(text: &str, from: usize) -> Option<usize> {
    /// The key of an event by where it begins among three bytes, without what depends on its neighbours.
    static SIGNS: LazyLock<Vec<memmem::Finder<'static>>> = LazyLock::new(|| {
        let signs = (0..3).filter_map(|before: usize| {
            let packed = BASE64_STANDARD_NO_PAD.encode(format!("{}{KEY}", " ".repeat(before)));
            let (first, last) = ((before * 8).div_ceil(6), (before + KEY.len()) * 8 / 6);
            packed.get(first..last).map(str::to_owned)
        });
        let packed = PACKED.into_iter().map(str::to_owned);
        signs.chain(packed).map(|sign| memmem::Finder::new(sign.as_bytes()).into_owned()).collect()
    });
    let begins_packed =
        from == 0 && text.len() >= 32 && PACKED.iter().any(|sign| text.starts_with(sign.trim_matches('"')));
    if begins_packed && text.bytes().all(|byte| is_base64(byte) || byte == b'=') {
        return Some(0);
    }
    let bytes = text.as_bytes().get(from..)?;
    let at = SIGNS.iter().filter_map(|sign| sign.find(bytes)).min()?;
    Some(from + at + usize::from(bytes.get(at) == Some(&b'"')))
}

/// Whether it is an array of small numbers.
fn is_bytes(text: &str) -> bool {
    text.starts_with('[') && text.bytes().all(|byte| byte.is_ascii_digit() || b"[], \n".contains(&byte))
}

/// The text in an array of bytes; none if it is none.
pub(super) fn of_bytes(json: &str) -> Option<String> {
    let bytes: Vec<u8> = is_bytes(json).then(|| serde_json::from_str(json).ok()).flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What base64 in a text holds that may be of interest, and where it stands.
pub(super) fn of_base64(text: &str) -> Vec<(Range<usize>, String)> {
    // Mail breaks it into lines.
    if text.contains(['\n', '\r']) && text.bytes().all(|byte| is_base64(byte) || b"=\r\n".contains(&byte)) {
        let whole: String = text.split_ascii_whitespace().collect();
        return decoded(&whole).map(|plain| (0..text.len(), plain)).into_iter().collect();
    }
    let bytes = text.as_bytes();
    let (mut all, mut from) = (Vec::new(), 0);
    while let Some(at) = base64_at(text, from) {
        let before = bytes.get(from..at).unwrap_or_default();
        let begin = at - before.iter().rev().take_while(|byte| is_base64(**byte)).count();
        let end = at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| is_base64(**byte)).count();
        if let Some(plain) = text.get(begin..end).and_then(decoded) {
            all.push((begin..end, plain));
        }
        from = end.max(at + 1);
    }
    all
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// The text in base64 in either alphabet, unpacked if it is gzip. Of what is cut, the whole bytes.
fn decoded(text: &str) -> Option<String> {
    /// A record that is greater is not unpacked.
    const MOST_BYTES: u64 = 1 << 26;
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let text = text.trim_end_matches('=');
    let text = if text.len() % 4 == 1 { text.get(..text.len() - 1)? } else { text };
    let bytes = GeneralPurpose::new(alphabet, config).decode(text).ok()?;
    let packed: Box<dyn Read + '_> = match bytes.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(&bytes[..])),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(StreamingDecoder::new(&bytes[..]).ok()?),
        [0x78, ..] => Box::new(ZlibDecoder::new(&bytes[..])),
        _ => return Some(String::from_utf8_lossy(&bytes).into_owned()),
    };
    let mut plain = Vec::new();
    // Of what is cut, the beginning comes out all the same.
    let _ = packed.take(MOST_BYTES).read_to_end(&mut plain);
    // What begins with an x may be text.
    let is_text = plain.is_empty() && memmem::find(&bytes, KEY.as_bytes()).is_some();
    let plain = if is_text { bytes.as_slice() } else { plain.as_slice() };
    (!plain.is_empty()).then(|| String::from_utf8_lossy(plain).into_owned())
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
    const FORMS: [(&str, &str); 5] =
        [("\"\"", "\""), ("&quot;", "\""), ("&#34;", "\""), ("\\x22", "\""), ("\\u0022", "\"")];
    let keys: Vec<usize> = memmem::find_iter(text.as_bytes(), KEY.as_bytes()).collect();
    let is_quoted = |at: usize, quote: &str| {
        let (before, after) = (text.get(..at), text.get(at + KEY.len()..));
        before.is_some_and(|it| it.ends_with(quote)) && after.is_some_and(|it| it.starts_with(quote))
    };
    FORMS.iter().find(|(quote, _)| keys.iter().any(|at| is_quoted(*at, quote))).map(|(quote, plain)| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_in_base64_is_found_wherever_it_begins() {
        use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
        for before in ["", "x", "xy", "xyz ÿÿÿ>>>"] {
            let plain = format!("{before}{{\"{KEY}\":\"error_streak\"}}\n");
            for packed in [BASE64_STANDARD.encode(&plain), BASE64_URL_SAFE_NO_PAD.encode(&plain)] {
                assert!(is_packed(&packed), "{packed}");
                assert_eq!(of_base64(&packed), [(0..packed.trim_end_matches('=').len(), plain.clone())]);
                let around = of_base64(&format!("data={packed} {packed}"));
                assert_eq!(around.len(), 2, "{packed}");
            }
            let whole = BASE64_STANDARD.encode(&plain);
            let lines: Vec<_> = whole.as_bytes().chunks(20).map(String::from_utf8_lossy).collect();
            assert_eq!(of_base64(&lines.join("\r\n"))[0].1, plain);
        }
        assert!(!is_packed("[2026-11-20 15:43:30.405][7][warning] wasm log faultline: x"));
        assert!(of_base64("H4sI is no gzip").is_empty());
    }
}
