//! Texts from parts, and hashes of texts.

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

/// The text's FNV-1a hash.
#[inline(never)]
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_between_parts_only() {
        assert_eq!(joined(&[], ","), "");
        assert_eq!(joined(&["a"], ","), "a");
        assert_eq!(joined(&["a", "", "b"], ", "), "a, , b");
    }
}
