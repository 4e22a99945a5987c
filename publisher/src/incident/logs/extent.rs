//! Where a JSON value ends, without reading it: values may span lines, and what only looks like JSON must be left to
//! those who read lines.

use memchr::memchr3;

/// What is known of a value after more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It ends before this byte.
    End(usize),
    /// It goes on.
    More,
    /// It is no JSON.
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or the end of an array that has just begun.
    ValueOrEnd,
    Key,
    /// A key, or the end of an object that has just begun.
    KeyOrEnd,
    Colon,
    /// A comma, or the end of what the value is in.
    CommaOrEnd,
    /// The rest of a string.
    String {
        key: bool,
    },
}

/// Follows one value through bytes that come in parts.
#[derive(Debug)]
pub(super) struct Extent {
    open: Vec<u8>,
    expect: Expect,
    position: usize,
}

impl Extent {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), expect: Expect::Value, position: 0 }
    }

    /// Goes on; `bytes` are all of the value so far, from its beginning.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Step {
        loop {
            if let Expect::String { key } = self.expect {
                match self.end_of_string(bytes) {
                    Some(step) => return step,
                    None => self.expect = if key { Expect::Colon } else { Expect::CommaOrEnd },
                }
            }
            if self.expect == Expect::CommaOrEnd && self.open.is_empty() {
                return Step::End(self.position);
            }
            let space = bytes.iter().skip(self.position).take_while(|byte| byte.is_ascii_whitespace()).count();
            self.position += space;
            let Some(byte) = bytes.get(self.position) else { return Step::More };
            match self.token(*byte) {
                Some(expect) => self.expect = expect,
                None => return Step::No,
            }
            if matches!(byte, b'0'..=b'9' | b'-' | b'a'..=b'z') {
                let rest = bytes.get(self.position..).unwrap_or_default();
                let long = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
                if long == rest.len() {
                    self.expect = Expect::Value;
                    return if long > 400 { Step::No } else { Step::More };
                }
                self.position += long;
            } else {
                self.position += 1;
            }
        }
    }

    /// What comes after a token that begins with this byte; none if it cannot stand here.
    fn token(&mut self, byte: u8) -> Option<Expect> {
        let value = matches!(self.expect, Expect::Value | Expect::ValueOrEnd);
        match (byte, self.expect) {
            (b'{' | b'[', _) if value => {
                self.open.push(byte);
                Some(if byte == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd })
            }
            (b'"', _) if value => Some(Expect::String { key: false }),
            (b'"', Expect::Key | Expect::KeyOrEnd) => Some(Expect::String { key: true }),
            (b'0'..=b'9' | b'-' | b't' | b'f' | b'n', _) if value => Some(Expect::CommaOrEnd),
            (b':', Expect::Colon) => Some(Expect::Value),
            (b',', Expect::CommaOrEnd) => {
                Some(if self.open.last() == Some(&b'{') { Expect::Key } else { Expect::Value })
            }
            (b'}', Expect::CommaOrEnd | Expect::KeyOrEnd) => {
                (self.open.pop() == Some(b'{')).then_some(Expect::CommaOrEnd)
            }
            (b']', Expect::CommaOrEnd | Expect::ValueOrEnd) => {
                (self.open.pop() == Some(b'[')).then_some(Expect::CommaOrEnd)
            }
            _ => None,
        }
    }

    /// Goes to the end of a string; a step if it is not there.
    fn end_of_string(&mut self, bytes: &[u8]) -> Option<Step> {
        while let Some(found) = bytes.get(self.position..).and_then(|rest| memchr3(b'"', b'\\', b'\n', rest)) {
            let at = self.position + found;
            match bytes.get(at) {
                Some(b'"') => {
                    self.position = at + 1;
                    return None;
                }
                // No string goes over a line: it is cut.
                Some(b'\n') => return Some(Step::No),
                _ if at + 1 >= bytes.len() => {
                    self.position = at;
                    return Some(Step::More);
                }
                _ => self.position = at + 2,
            }
        }
        self.position = bytes.len();
        Some(Step::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        Extent::new().follow(text.as_bytes())
    }

    #[test]
    fn a_value_ends_where_json_says() {
        assert_eq!(step(r#"{"a": [1, -2.5e3, "x\"}", {}], "b": null} rest"#), Step::End(41));
        assert_eq!(step("[\n  {\n    \"a\": \"b\"\n  }\n]\n"), Step::End(24));
        assert_eq!(step("\"x\" y"), Step::End(3));
        for cut in ["{", "{\"a", "{\"a\":", "[1, ", "{\"a\": \"x\\"] {
            assert_eq!(step(cut), Step::More, "{cut}");
        }
        for no in
            ["[2026-11-20 15:43:30.405][7]", "{\"a\": \"b\n", "{faultline", "[pod/x/y] z", "{\"a\": 1,\n{\"a\"", "{]"]
        {
            assert_eq!(step(no), Step::No, "{no}");
        }
    }

    #[test]
    fn bytes_may_come_in_parts() {
        let text = r#"{"a": "b\\\"c", "d": [true, 12, {"e": "f"}]} "#;
        let mut extent = Extent::new();
        for end in 0..text.len() {
            let step = extent.follow(&text.as_bytes()[..end]);
            assert_eq!(step, if end < text.len() - 1 { Step::More } else { Step::End(text.len() - 1) }, "{end}");
        }
    }
}
