//! Splits an answer of Envoy's admin interface into the elements of its list, while it streams.
//!
//! A list of a thousand clusters has megabytes, of which some kilobytes are wanted. So the answer is not parsed: the
//! ends of its elements are searched for, one element is held at a time, and its reader parses it if it is wanted.
//! Not here: what an element means.

use crate::json::{Value, parse};
use std::io::Read;

/// The number of bytes that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// The maximum length of an element, in bytes: a cluster of some 4,000 hosts.
const MAX_ELEMENT_BYTES: usize = 4 * 1024 * 1024;

/// What a reader does with an element. Its error ends the reading.
pub(super) type Each<'f> = &'f mut dyn FnMut(&[u8]) -> Result<(), String>;

/// Calls `each` with the bytes of every element of the list `name` in the object that is the answer. Returns whether
/// the answer has that list; Envoy leaves out an empty one.
///
/// # Errors
/// A sentence that says what is wrong: the answer is cut or not an object, an element is longer than 4 MiB, or `each`
/// failed. The elements before that count. What is inside an element is left to its reader to check.
pub(super) fn each_element(answer: impl Read, name: &str, each: Each<'_>) -> Result<bool, String> {
    Scanner::new(&mut Pieces { answer, buffer: Vec::new(), used: 0 }).object(name, each)
}

/// [`each_element`] of an object that is held.
///
/// # Errors
/// As [`each_element`].
pub(super) fn each_element_of(mut object: &[u8], name: &str, each: Each<'_>) -> Result<bool, String> {
    Scanner::new(&mut object).object(name, each)
}

/// The text that a member of an object has; `None` if it has none. What follows the member is not read.
pub(super) fn text_member(mut object: &[u8], name: &str) -> Option<String> {
    let mut scanner = Scanner::new(&mut object);
    let mut text = None;
    let mut goes_on = scanner.opens(b'{', b'}').ok()?;
    while goes_on {
        scanner.key().ok()?;
        let is_it = scanner.key == name;
        let mut read = |value: &[u8]| {
            text = parse(value).ok().and_then(text_of);
            Ok(())
        };
        scanner.value(if is_it { Some(&mut read) } else { None }).ok()?;
        goes_on = !is_it && scanner.goes_on(b'}').ok()?;
    }
    text
}

/// An object without its member `name`, which is not parsed.
///
/// # Errors
/// A sentence that says what is wrong with the object, which may be in any member but that one.
pub(super) fn object_without(mut object: &[u8], name: &str) -> Result<Value, String> {
    let mut scanner = Scanner::new(&mut object);
    let mut members = Vec::new();
    let mut goes_on = scanner.opens(b'{', b'}')?;
    while goes_on {
        scanner.key()?;
        if scanner.key == name {
            scanner.value(None)?;
        } else {
            let key = scanner.key.clone();
            let mut parsed = Value::Null;
            scanner.value(Some(&mut |value| {
                parsed = parse(value).map_err(|error| format!("{key}: {error}"))?;
                Ok(())
            }))?;
            members.push((key, parsed));
        }
        goes_on = scanner.goes_on(b'}')?;
    }
    Ok(Value::Object(members))
}

/// A text that is read in pieces. The standard library's reader can do more, which made the module 4 kB larger.
trait Input {
    /// What was read and not used yet; empty at the end.
    fn piece(&mut self) -> Result<&[u8], String>;

    /// Uses this many bytes of the piece.
    fn consume(&mut self, count: usize);
}

/// An answer that streams.
struct Pieces<R> {
    answer: R,
    buffer: Vec<u8>,
    used: usize,
}

impl<R: Read> Input for Pieces<R> {
    fn piece(&mut self) -> Result<&[u8], String> {
        if self.used >= self.buffer.len() {
            self.buffer.resize(PIECE_BYTES, 0);
            let read = self.answer.read(&mut self.buffer).map_err(|_| "the answer cannot be read")?;
            self.buffer.truncate(read);
            self.used = 0;
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.used = self.used.saturating_add(count);
    }
}

/// A text that is held.
impl Input for &[u8] {
    fn piece(&mut self) -> Result<&[u8], String> {
        Ok(*self)
    }

    fn consume(&mut self, count: usize) {
        *self = self.get(count..).unwrap_or_default();
    }
}

struct Scanner<'i> {
    input: &'i mut dyn Input,
    /// The beginning of a value that does not end in the same piece.
    held: Vec<u8>,
    /// The name of the member that was read last.
    key: String,
}

impl<'i> Scanner<'i> {
    fn new(input: &'i mut dyn Input) -> Self {
        Self { input, held: Vec::new(), key: String::new() }
    }

    /// Reads the whole answer, and the list `name` in it.
    fn object(mut self, name: &str, each: Each<'_>) -> Result<bool, String> {
        let mut found = false;
        let mut goes_on = self.opens(b'{', b'}')?;
        while goes_on {
            self.key()?;
            if self.key == name {
                found = true;
                self.list(each)?;
            } else {
                self.value(None)?;
            }
            goes_on = self.goes_on(b'}')?;
        }
        match self.peek()? {
            None => Ok(found),
            Some(byte) => Err(unexpected(Some(byte))),
        }
    }

    fn list(&mut self, each: Each<'_>) -> Result<(), String> {
        let mut goes_on = self.opens(b'[', b']')?;
        while goes_on {
            self.value(Some(&mut *each))?;
            goes_on = self.goes_on(b']')?;
        }
        Ok(())
    }

    /// Reads a member's name, into `self.key`, and the colon after it.
    fn key(&mut self) -> Result<(), String> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        self.value(Some(&mut |text| {
            let plain = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
            let plain = plain.filter(|text| !text.contains(&b'\\')).and_then(|text| std::str::from_utf8(text).ok());
            match plain {
                Some(plain) => key.push_str(plain),
                None => key = parse(text).ok().and_then(text_of).ok_or("a member's name is not a text")?,
            }
            Ok(())
        }))?;
        self.key = key;
        self.take(b':')
    }

    /// Reads an opening bracket. Returns whether anything follows before the closing one, which is else read as well.
    fn opens(&mut self, bracket: u8, close: u8) -> Result<bool, String> {
        self.take(bracket)?;
        let is_empty = self.peek()? == Some(close);
        self.input.consume(usize::from(is_empty));
        Ok(!is_empty)
    }

    /// Reads what follows a value. Returns whether it is a comma; else it is the closing bracket.
    fn goes_on(&mut self, close: u8) -> Result<bool, String> {
        match self.peek()? {
            Some(byte) if byte == b',' || byte == close => {
                self.input.consume(1);
                Ok(byte == b',')
            }
            other => Err(unexpected(other)),
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), String> {
        match self.peek()? {
            Some(next) if next == byte => {
                self.input.consume(1);
                Ok(())
            }
            other => Err(unexpected(other)),
        }
    }

    /// The next byte that is not a space, which is not read yet; `None` at the end.
    fn peek(&mut self) -> Result<Option<u8>, String> {
        loop {
            let piece = self.input.piece()?;
            let Some(first) = piece.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                let spaces = piece.len();
                if spaces == 0 {
                    return Ok(None);
                }
                self.input.consume(spaces);
                continue;
            };
            let byte = piece.get(first).copied();
            self.input.consume(first);
            return Ok(byte);
        }
    }

    /// Reads a value and calls `each` with its bytes; one that nobody wants is not held.
    fn value(&mut self, mut each: Option<Each<'_>>) -> Result<(), String> {
        let mut span = Span::starting_with(self.peek()?)?;
        self.held.clear();
        loop {
            let piece = self.input.piece()?;
            if piece.is_empty() {
                return Err(unexpected(None));
            }
            let end = span.end_in(piece);
            let part = end.and_then(|end| piece.get(..end)).unwrap_or(piece);
            if let Some(each) = each.as_mut() {
                // Most values are in one piece, and are not copied.
                if self.held.is_empty() && end.is_some() {
                    each(part)?;
                } else {
                    if self.held.len().saturating_add(part.len()) > MAX_ELEMENT_BYTES {
                        return Err(format!("an element is longer than {MAX_ELEMENT_BYTES} bytes"));
                    }
                    self.held.extend_from_slice(part);
                    if end.is_some() {
                        each(&self.held)?;
                    }
                }
            }
            let read = part.len();
            self.input.consume(read);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

/// What is known about a value while its end is searched for.
enum Span {
    /// A number, `true`, `false` or `null`, which the byte after it ends.
    Bare,
    /// A text, a list or an object.
    Closed { depth: u32, is_quoted: bool, is_escaped: bool },
}

impl Span {
    fn starting_with(byte: Option<u8>) -> Result<Self, String> {
        match byte {
            Some(b'"' | b'{' | b'[') => Ok(Self::Closed { depth: 0, is_quoted: false, is_escaped: false }),
            Some(b'-' | b'0'..=b'9' | b'a'..=b'z') => Ok(Self::Bare),
            other => Err(unexpected(other)),
        }
    }

    /// How many bytes of `piece` belong to the value; `None` if it goes on after the piece.
    fn end_in(&mut self, piece: &[u8]) -> Option<usize> {
        let Self::Closed { depth, is_quoted, is_escaped } = self else {
            return piece
                .iter()
                .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E'));
        };
        let mut rest = piece;
        loop {
            if *is_escaped {
                (_, rest) = rest.split_first()?;
                *is_escaped = false;
            }
            let next = match *is_quoted {
                true => rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?,
                false => rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?,
            };
            let (byte, tail) = rest.get(next..)?.split_first()?;
            rest = tail;
            match byte {
                b'"' => *is_quoted = !*is_quoted,
                b'\\' => *is_escaped = true,
                b'{' | b'[' => *depth = depth.saturating_add(1),
                _ => *depth = depth.saturating_sub(1),
            }
            if *depth == 0 && !*is_quoted {
                return Some(piece.len().saturating_sub(rest.len()));
            }
        }
    }
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn unexpected(byte: Option<u8>) -> String {
    match byte {
        None => "the answer is cut".into(),
        Some(byte) => format!("unexpected '{}'", char::from(byte).escape_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `answer` in pieces of `piece` bytes.
    struct Slowly<'a> {
        answer: &'a [u8],
        piece: usize,
    }

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let piece = self.piece.min(into.len()).min(self.answer.len());
            self.answer.read(&mut into[..piece])
        }
    }

    fn split(answer: &[u8], piece: usize) -> (Vec<String>, Result<bool, String>) {
        let mut seen = Vec::new();
        let result = each_element(Slowly { answer, piece }, "list", &mut |element| {
            seen.push(String::from_utf8(element.to_vec()).unwrap());
            Ok(())
        });
        (seen, result)
    }

    #[test]
    fn elements_are_the_same_however_the_answer_is_cut_into_pieces() {
        let elements =
            [r#"{"a": "}]\"\\", "b": [{"c": []}, {}]}"#, "[1, [2]]", "-1.5E+3", r#""a,\\""#, "null", "{}", "\"\""];
        let answer = format!(
            " {{ \"other\": [{{\"list\": [9]}}], \"n\": 1, \"li\\u0073t\" :\n[ {} ] , \"last\":\"x\" }}\n ",
            elements.join(" ,\n")
        );
        for piece in 1..answer.len() {
            let (seen, result) = split(answer.as_bytes(), piece);
            assert_eq!((seen, result), (elements.map(str::to_owned).to_vec(), Ok(true)), "{piece}");
        }
    }

    #[test]
    fn an_answer_without_the_list_says_so() {
        for answer in ["{}", r#"{"other": [1], "x": {"list": [2]}}"#] {
            assert_eq!(split(answer.as_bytes(), 100), (vec![], Ok(false)), "{answer}");
        }
        assert_eq!(split(br#"{"list": []}"#, 100), (vec![], Ok(true)));
    }

    #[test]
    fn what_is_before_an_error_counts_and_the_error_says_what_is_wrong() {
        for (answer, count, problem) in [
            ("", 0, "the answer is cut"),
            ("[]", 0, "unexpected '['"),
            ("<html>", 0, "unexpected '<'"),
            (r#"{"list": 5}"#, 0, "unexpected '5'"),
            (r#"{"list": [1, {"a": "#, 1, "the answer is cut"),
            (r#"{"list": [1, 2"#, 1, "the answer is cut"),
            (r#"{"list": [1,]}"#, 1, "unexpected ']'"),
            (r#"{"list": [1 2]}"#, 1, "unexpected '2'"),
            (r#"{"list": [1]} x"#, 1, "unexpected 'x'"),
            (r#"{"list" [1]}"#, 0, "unexpected '['"),
            (r#"{5: [1]}"#, 0, "a member's name is not a text"),
        ] {
            let (seen, result) = split(answer.as_bytes(), 3);
            assert_eq!((seen.len(), result), (count, Err(problem.into())), "{answer}");
        }
    }

    #[test]
    fn an_element_is_held_up_to_a_limit_and_what_nobody_wants_is_not_held() {
        let long = format!("\"{}\"", "x".repeat(MAX_ELEMENT_BYTES - 2));
        let (seen, result) = split(format!(r#"{{"other": {long}9, "list": []}}"#).as_bytes(), PIECE_BYTES);
        assert_eq!((seen.len(), result), (0, Err("unexpected '9'".into())));
        let (seen, result) = split(format!(r#"{{"other": ["y", {long}], "list": [{long}]}}"#).as_bytes(), PIECE_BYTES);
        assert_eq!((seen.len(), result), (1, Ok(true)));
        let (seen, result) = split(format!(r#"{{"list": [1, ["z", {long}]]}}"#).as_bytes(), PIECE_BYTES);
        assert_eq!((seen.len(), result), (1, Err("an element is longer than 4194304 bytes".into())));
    }

    #[test]
    fn a_member_is_left_out() {
        let read = |object: &str| object_without(object.as_bytes(), "x");
        assert_eq!(read(r#"{"a": [1], "x": [{"y" 5}], "b": "c"}"#), parse(br#"{"a": [1], "b": "c"}"#));
        assert_eq!(read(r#"{"a": [1"#), Err("the answer is cut".into()));
        assert_eq!(read(r#"{"a": [1}}"#), Err("a: expected `,` or `]` at line 1 column 3".into()));
    }

    #[test]
    fn a_member_is_read_without_what_follows_it() {
        assert_eq!(text_member(br#"{"a": {"name": "x"}, "name": "\u00e4", cut"#, "name"), Some("ä".into()));
        for object in ["", "5", "{}", r#"{"a": 1}"#, r#"{"name": 7}"#, r#"{"name": "x"#] {
            assert_eq!(text_member(object.as_bytes(), "name"), None, "{object}");
        }
    }
}
