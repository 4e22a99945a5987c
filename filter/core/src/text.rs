//! Texts from parts and from bytes, and hashes of texts.

use std::borrow::Cow;

/// The parts with a separator between them. The standard library's `join` takes 1 kB of the module for each type of
/// part.
#[inline(never)]
pub fn joined(parts: &[&str], separator: &str) -> String {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(part);
    }
    text
}

/// The bytes as text. From the first one that is no UTF-8 on, each that is not ASCII shows as U+FFFD. The standard
/// library's way, which goes on with UTF-8 after such a byte, takes 1 kB of the module.
#[inline(never)]
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => return Cow::Borrowed(text),
        Err(error) => error.valid_up_to(),
    };
    let (valid, rest) = bytes.split_at_checked(valid).unwrap_or_default();
    let mut text = std::str::from_utf8(valid).unwrap_or_default().to_owned();
    for byte in rest {
        text.push(if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER });
    }
    Cow::Owned(text)
}

/// The text's FNV-1a hash.
#[inline(never)]
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_as_far_as_they_are() {
        assert_eq!(lossy("zürich".as_bytes()), "zürich");
        assert_eq!(lossy(b""), "");
        assert_eq!(lossy("zürich-\u{fc}".as_bytes().split_last().unwrap().1), "zürich-\u{fffd}", "cut in a character");
        assert_eq!(lossy(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn a_separator_is_between_parts_only() {
        assert_eq!(joined(&[], ","), "");
        assert_eq!(joined(&["a"], ","), "a");
        assert_eq!(joined(&["a", "", "b"], ", "), "a, , b");
    }
}
