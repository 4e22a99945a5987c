//! Colons between brackets and braces, as kubectl reads them: a text ends at a colon only where a space follows, and
//! begins with none. So `[fd00::]` holds an address, and `[::1]` is refused.
//!
//! The parser follows YAML 1.2, where `fd00::` before a bracket is the key of an object. Such colons are hidden from
//! it: each is replaced by one sign, which leaves every position as it is, and put back into whatever text it is found
//! in. So it does no harm where such a colon stands in quotes, in a block of text or in a comment.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::node::{Node, Position, Value};

/// In place of a colon that ends a text. Unicode promises that no text has these two.
const LAST: char = '\u{fdd0}';
/// In place of a colon that begins a text.
const FIRST: char = '\u{fdd1}';

/// The text with signs in place of the colons that are read otherwise.
pub(super) fn hide(text: &str) -> Cow<'_, str> {
    if text.contains([LAST, FIRST]) {
        return Cow::Borrowed(text);
    }
    let mut hidden = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices(':') {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let sign = match (before.chars().next_back(), after.chars().next()) {
            (Some(before), Some(',' | ']' | '}')) if !before.is_whitespace() && !"\"'[]{},".contains(before) => LAST,
            (Some(last), Some(next))
                if (last.is_whitespace() || "[{,".contains(last)) && !next.is_whitespace() && begins(before) =>
            {
                FIRST
            }
            _ => continue,
        };
        hidden.push_str(text.get(copied..at).unwrap_or_default());
        hidden.push(sign);
        copied = at + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    hidden.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(hidden)
}

/// Whether what follows begins a text between brackets or braces, as far as the line tells.
fn begins(before: &str) -> bool {
    let trimmed = before.trim_end();
    match trimmed.chars().next_back() {
        Some('[' | '{' | ',') => true,
        Some(':') => {
            let line = trimmed.rsplit('\n').next().unwrap_or(trimmed);
            let count = |signs: &[char]| line.matches(signs).count();
            count(&['[', '{']) > count(&[']', '}'])
        }
        _ => false,
    }
}

/// Puts the colons back into words about a text.
pub(super) fn shown(text: &str) -> String {
    text.replace([LAST, FIRST], ":")
}

/// Puts the colons back into all texts of a value.
///
/// # Errors
/// When one begins with a colon where kubectl does not take it.
pub(super) fn show(node: &mut Node) -> Result<(), (Option<Position>, String)> {
    let position = node.position;
    let put_back = |text: &mut String| {
        if text.starts_with(FIRST) {
            let words = "a text that begins with `:` needs quotes between brackets or braces";
            return Err((Some(position), words.to_owned()));
        }
        if text.contains([LAST, FIRST]) {
            *text = shown(text);
        }
        Ok(())
    };
    match &mut node.value {
        Value::Scalar(Json::String(text)) => put_back(text),
        Value::Scalar(_) => Ok(()),
        Value::List(items) => items.iter_mut().try_for_each(show),
        Value::Map(fields) => fields.iter_mut().try_for_each(|(key, field)| {
            put_back(key)?;
            show(field)
        }),
    }
}
