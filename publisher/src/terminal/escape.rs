//! Makes text that strangers wrote fit for a terminal. Control characters could set its title, clear the screen or draw
//! over what stands there (CWE-150), and marks that turn the direction of writing could show other text than there is.

use std::fmt::Write as _;

use findings::steers;

/// One value: control characters and line ends are shown as `\u{1b}` and the like.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, steers)
}

/// Text of several lines, of which each value was escaped before: line ends and tabs stay.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| steers(c) && !matches!(c, '\n' | '\t'))
}

/// JSON, whose writer leaves some control characters as they are.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

fn escaped(text: &str, shown: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' if shown(c) => safe.extend(c.escape_default()),
            c if shown(c) => {
                let _ = write!(safe, "{}", c.escape_unicode());
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown() {
        assert_eq!(one_line("1.0\u{1b}]0;x\u{7}\r\nIstio yes"), r"1.0\u{1b}]0;x\u{7}\r\nIstio yes");
        assert_eq!(one_line("\u{7f}\u{9b}2J\u{202e}\u{2028}"), r"\u{7f}\u{9b}2J\u{202e}\u{2028}");
        assert_eq!(lines("a\n\tb\u{1b}[2J\r"), "a\n\tb\\u{1b}[2J\\r");
        assert_eq!(json("\"\u{e0041}\u{200b}\""), r#""\udb40\udc41\u200b""#);
        assert_eq!(json("{\n\"a\": \"\u{9b}\u{7f}ä\u{202e}\"\n}"), "{\n\"a\": \"\\u009b\\u007fä\\u202e\"\n}");
        for harmless in ["", "größer than 1.0", "x/y+json;v=1", r"C:\new"] {
            assert_eq!(one_line(harmless), harmless);
        }
    }
}
