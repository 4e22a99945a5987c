//! Writes a JSON object member by member.

/// Writes an object whose members `write` adds.
pub fn object(write: impl FnOnce(&mut Object<'_>)) -> String {
    let mut text = String::new();
    append(&mut text, write);
    text
}

/// A text as JSON writes it.
pub fn quoted(value: &str) -> String {
    let mut text = String::new();
    push_quoted(&mut text, value);
    text
}

fn append(text: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    text.push('{');
    write(&mut Object { text, is_empty: true });
    text.push('}');
}

/// An object that is being written.
#[derive(Debug)]
pub struct Object<'t> {
    text: &'t mut String,
    is_empty: bool,
}

impl Object<'_> {
    #[inline(never)]
    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.text.push(',');
        }
        push_quoted(self.text, name);
        self.text.push(':');
    }

    /// Adds a text.
    #[inline(never)]
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        push_quoted(self.text, value);
    }

    /// Adds a text if it is not empty.
    pub fn optional_text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    /// Adds a whole number.
    #[inline(never)]
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.text.push_str(&value.to_string());
    }

    /// Adds a number with one to three decimals, which are enough for seconds and shares. It is not negative.
    #[inline(never)]
    pub fn decimal(&mut self, name: &str, value: f64) {
        self.name(name);
        let thousandths = (value * 1000.0).round() as u64;
        let digits = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        let short = digits.strip_suffix("00").or(digits.strip_suffix('0')).unwrap_or(&digits);
        self.text.push_str(short);
    }

    /// Adds `true` or `false`.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// Adds an object whose members `write` adds.
    pub fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        append(self.text, write);
    }

    /// Adds a list of objects; `write` adds the members of each.
    pub fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&mut Object<'_>, &T)) {
        self.name(name);
        self.text.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            append(self.text, |object| write(object, item));
        }
        self.text.push(']');
    }
}

#[inline(never)]
fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    for char in value.chars() {
        let escape = match char {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\0'..' ' => {
                text.push_str(&format!("\\u{:04x}", u32::from(char)));
                continue;
            }
            char => {
                text.push(char);
                continue;
            }
        };
        text.push_str(escape);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_serde_json_quotes_them() {
        let all: String = (0..0x2_0000_u32).filter_map(char::from_u32).collect();
        let text = object(|object| object.text(&all, &all));
        let quoted = serde_json::to_string(&all).unwrap();
        assert_eq!(text, format!("{{{quoted}:{quoted}}}"));
    }

    #[test]
    fn numbers_are_written_as_serde_json_writes_them() {
        for value in [0.0, 1.0, 0.5, 0.25, 0.125, 0.001, 12.34, 3.1, 99.999, 100.0, 86_400.001, 1e12] {
            let text = object(|object| object.decimal("a", value));
            assert_eq!(text, format!("{{\"a\":{}}}", serde_json::to_string(&value).unwrap()));
        }
        assert_eq!(object(|object| object.decimal("a", 2.000_4)), r#"{"a":2.0}"#);
        assert_eq!(object(|object| object.decimal("a", 0.999_9)), r#"{"a":1.0}"#);
    }

    #[test]
    fn members_are_apart() {
        let text = object(|object| {
            object.number("n", 5);
            object.flag("f", true);
            object.optional_text("none", "");
            object.object("o", |_| {});
            object.list("l", &[1, 2], |object, item| object.number("i", *item));
        });
        assert_eq!(text, r#"{"n":5,"f":true,"o":{},"l":[{"i":1},{"i":2}]}"#);
    }
}
