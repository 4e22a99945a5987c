//! Characters that steer what shows them instead of being shown: what strangers wrote could set a terminal's title,
//! clear it, draw over what stands there (CWE-150), or make text read as what it is not.

/// Whether a character is a control character, line ends among them, or one of Unicode's marks without a shape of its
/// own: those that turn the direction of writing, join, or have no width (general category Cf, and the separators of
/// lines and paragraphs).
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_shape_of_its_own_steers_nothing() {
        for c in ['\u{1b}', '\n', '\u{9b}', '\u{ad}', '\u{61c}', '\u{200b}', '\u{202e}', '\u{2069}', '\u{feff}'] {
            assert!(steers(c), "{c:?}");
        }
        assert!("größer ≈ › 日本 🦀 é".chars().all(|c| !steers(c)));
    }
}
