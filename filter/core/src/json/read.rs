//! Reads a JSON text (RFC 8259) into a value.

use super::value::Value;

/// The deepest nesting of lists and objects. A level takes 160 bytes of the module's stack, all of them a third of it.
const MAX_DEPTH: u32 = 128;

/// Parses a text that is one value.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    let mut parser = Parser { text, at: 0 };
    let parsed = parser.value(MAX_DEPTH).and_then(|value| match parser.peek() {
        None => Ok(value),
        Some(_) => Err("trailing characters"),
    });
    parsed.map_err(|problem| parser.located(problem))
}

type Parsed<T> = Result<T, &'static str>;

const CUT: &str = "EOF while parsing a value";
const BAD_ESCAPE: &str = "invalid escape";
const BAD_TEXT: &str = "invalid unicode code point";

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Parser<'t> {
    fn located(&self, problem: &str) -> String {
        let read = self.text.get(..self.at).unwrap_or(self.text);
        let line = read.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        let column = read.iter().rev().take_while(|byte| **byte != b'\n').count();
        format!("{problem} at line {line} column {column}")
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    /// The next byte that is not a space, which is not read yet.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at).copied()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at = self.at.saturating_add(1),
                byte => return Some(byte),
            }
        }
    }

    /// Reads the next byte that is not a space if it is this one.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(is_next));
        is_next
    }

    fn value(&mut self, depth: u32) -> Parsed<Value> {
        let depth = depth.checked_sub(1).ok_or("recursion limit exceeded")?;
        match self.peek().ok_or(CUT)? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => Ok(Value::Text(self.string()?)),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                self.next();
                Err("expected value")
            }
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Parsed<Value> {
        for byte in word.bytes() {
            if self.next().ok_or(CUT)? != byte {
                return Err("expected ident");
            }
        }
        Ok(value)
    }

    fn object(&mut self, depth: u32) -> Parsed<Value> {
        self.next();
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            match self.peek().ok_or("EOF while parsing an object")? {
                b'"' => {}
                _ => return Err("key must be a string"),
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return Err(self.instead("expected `:`"));
            }
            members.push((name, self.value(depth)?));
            if self.takes(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.takes(b',') {
                return Err(self.instead("expected `,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: u32) -> Parsed<Value> {
        self.next();
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.takes(b']') {
                return Ok(Value::List(items));
            }
            if !self.takes(b',') {
                return Err(self.instead("expected `,` or `]`"));
            }
        }
    }

    /// The problem that something else comes, or nothing.
    fn instead(&mut self, expected: &'static str) -> &'static str {
        if self.next().is_some() { expected } else { CUT }
    }

    fn digits(&mut self) -> Parsed<usize> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at = self.at.saturating_add(1);
        }
        match self.at.saturating_sub(start) {
            0 => Err("invalid number"),
            count => Ok(count),
        }
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        let is = |parser: &Self, bytes: &[u8]| parser.text.get(parser.at).is_some_and(|byte| bytes.contains(byte));
        let skip = |parser: &mut Self, bytes: &[u8]| {
            let is_there = is(parser, bytes);
            parser.at = parser.at.saturating_add(usize::from(is_there));
            is_there
        };
        skip(self, b"-");
        let starts_with_zero = is(self, b"0");
        if self.digits()? > 1 && starts_with_zero {
            return Err("invalid number");
        }
        if skip(self, b".") {
            self.digits()?;
        }
        if skip(self, b"eE") {
            skip(self, b"+-");
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Value::Number(std::str::from_utf8(text).unwrap_or_default().to_owned()))
    }

    /// Reads a text, from its first quotation mark.
    fn string(&mut self) -> Parsed<String> {
        self.next();
        let mut text = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let end = end.ok_or("EOF while parsing a string")?;
            let plain = rest.get(..end).unwrap_or_default();
            text.push_str(std::str::from_utf8(plain).map_err(|_| BAD_TEXT)?);
            self.at = self.at.saturating_add(end);
            match self.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => text.push(self.escaped()?),
                _ => return Err("control character (\\u0000-\\u001F) found while parsing a string"),
            }
        }
    }

    fn escaped(&mut self) -> Parsed<char> {
        Ok(match self.next().ok_or(CUT)? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return Err(BAD_ESCAPE),
        })
    }

    /// Reads the digits of `\u`, and those of the second half of a pair.
    fn code_point(&mut self) -> Parsed<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(BAD_TEXT);
        }
        if (self.next(), self.next()) != (Some(b'\\'), Some(b'u')) {
            return Err(BAD_TEXT);
        }
        let second = self.hex()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(BAD_TEXT)?;
        let high = first.saturating_sub(0xd800);
        char::from_u32((high.wrapping_shl(10) | low).saturating_add(0x1_0000)).ok_or(BAD_TEXT)
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut number = 0_u32;
        for _ in 0..4 {
            let digit = char::from(self.next().ok_or(CUT)?).to_digit(16).ok_or(BAD_ESCAPE)?;
            number = number.wrapping_shl(4) | digit;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same value, from another reader.
    fn of_serde(value: &serde_json::Value) -> Value {
        match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(is) => Value::Bool(*is),
            serde_json::Value::Number(number) => Value::Number(number.to_string()),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::List(items.iter().map(of_serde).collect()),
            serde_json::Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), of_serde(value))).collect())
            }
        }
    }

    const TEXTS: [&str; 6] = [
        r#" {"a": [1, -2, 0.5, 15e30, 0], "b": {"c": null, "d": true}, "e": false, "f": [], "g": {}} "#,
        r#"["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 ö", "", "\u0000", "\u007f"]"#,
        "\n\t-17",
        "\"x\"",
        "[[[[]]], {\"a\": {\"b\": [{}]}}]",
        "{\"outlierDetection\": {\"consecutive5xxErrors\": 5, \"interval\": \"10s\"}}",
    ];

    #[test]
    fn texts_are_read_as_serde_json_reads_them() {
        for text in TEXTS {
            let wanted = of_serde(&serde_json::from_str(text).unwrap());
            let read = parse(text.replace("15e30", "1.5e+31").as_bytes());
            assert_eq!(read, Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_serde_json_refuses_is_refused() {
        let shreds = [
            "", "\"", "{", "}", "[", "]", ",", ":", "\\", "\0", "null", "-", "0", "1.", "1e", "x", "\u{e9}", "\\ud800",
        ];
        for text in TEXTS {
            let boundaries: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            for at in &boundaries {
                for shred in shreds {
                    for end in boundaries.iter().filter(|end| *end >= at && end.saturating_sub(*at) <= 2) {
                        let damaged = format!("{}{shred}{}", &text[..*at], &text[*end..]);
                        let wanted = serde_json::from_str::<serde_json::Value>(&damaged);
                        // A number keeps its text, so none is too large.
                        let is_large =
                            wanted.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
                        let is_read = parse(damaged.as_bytes()).is_ok();
                        assert_eq!(is_read, wanted.is_ok() || is_large, "{damaged:?}: {wanted:?}");
                    }
                }
            }
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        for (text, problem) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{\n \"a\" 5}", "expected `:` at line 2 column 6"),
            ("[1 2]", "expected `,` or `]` at line 1 column 4"),
            ("{} x", "trailing characters at line 1 column 3"),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(problem.into()));
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().starts_with("recursion limit exceeded"));
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(127).as_bytes()).is_ok() && parse(nested(129).as_bytes()).is_err());
    }

    #[test]
    fn of_a_name_that_is_there_twice_the_last_one_counts() {
        let value = parse(br#"{"a": 1, "a": 2}"#).unwrap();
        assert_eq!(value.get("a").and_then(Value::as_u64), Some(2));
    }
}
