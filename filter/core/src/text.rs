//! Texts from parts.

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
