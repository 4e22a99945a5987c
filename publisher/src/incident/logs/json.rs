//! JSON without copies: an object is its keys and the text of its values, which are looked into only where there is
//! something to find.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// JSON.
    Json(Cow<'a, str>),
    /// A text that is no JSON, as a field of CSV.
    Text(&'a str),
}

/// The keys of an object with their values, in order; a key may come twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Pairs<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.0.iter().map(|(key, node)| (key.as_ref(), node))
    }

    pub(super) fn get(&self, wanted: &str) -> Option<&Node<'a>> {
        self.iter().find(|(key, _)| *key == wanted).map(|(_, node)| node)
    }

    /// A row of CSV.
    pub(super) fn of_row(row: &'a [(String, String)]) -> Self {
        Self(row.iter().map(|(name, field)| (Cow::Borrowed(name.as_str()), Node::Text(field))).collect())
    }

    /// Values under their columns' names.
    pub(super) fn of_columns(names: &[Cow<'a, str>], values: Vec<&'a RawValue>) -> Self {
        Self(names.iter().cloned().zip(values.into_iter().map(node)).collect())
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    all.push((key, node(value)));
                }
                Ok(Pairs(all))
            }
        }
        from.deserialize_map(All)
    }
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn node(value: &RawValue) -> Node<'_> {
    Node::Json(Cow::Borrowed(value.get()))
}

/// The pairs of an object; none if it is none.
pub(super) fn pairs(json: &str) -> Option<Pairs<'_>> {
    json.trim_start().starts_with('{').then(|| serde_json::from_str(json).ok()).flatten()
}

/// The elements of an array; none if it is none.
pub(super) fn elements(json: &str) -> Option<Vec<&RawValue>> {
    json.trim_start().starts_with('[').then(|| serde_json::from_str(json).ok()).flatten()
}

/// The text of a string; none if it is none.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    let key: Option<Key<'_>> = json.trim_start().starts_with('"').then(|| serde_json::from_str(json).ok()).flatten();
    key.map(|Key(text)| text)
}

/// A string's text, or a number as it stands.
pub(super) fn scalar<'n>(node: &'n Node<'_>) -> Option<Cow<'n, str>> {
    match node {
        Node::Text(text) => Some(Cow::Borrowed(text)),
        Node::Json(json) => match json.trim_start().as_bytes().first()? {
            b'"' => string(json),
            b'0'..=b'9' | b'-' => Some(Cow::Borrowed(json.trim())),
            _ => None,
        },
    }
}

/// An object's pairs; also of an array that is one in other words: `[{"key": k, "value": v}]`, `["k:v"]`.
pub(super) fn object_of<'n>(node: &'n Node<'_>) -> Option<Pairs<'n>> {
    let Node::Json(json) = node else { return None };
    pairs(json).or_else(|| named(&elements(json)?))
}

/// The pairs that an array's elements are, if all of them are.
pub(super) fn named<'a>(elements: &[&'a RawValue]) -> Option<Pairs<'a>> {
    const MOST: usize = 500;
    if elements.is_empty() || elements.len() > MOST {
        return None;
    }
    elements.iter().map(|element| pair(element.get())).collect::<Option<Vec<_>>>().map(Pairs)
}

fn pair(json: &str) -> Option<(Cow<'_, str>, Node<'_>)> {
    if let Some(text) = string(json) {
        let (key, value) = text.split_once([':', '='])?;
        let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/@".contains(c));
        if !plain {
            return None;
        }
        let value = serde_json::to_string(value).ok()?;
        return Some((Cow::Owned(key.to_owned()), Node::Json(Cow::Owned(value))));
    }
    let pairs: Pairs<'_> = pairs(json)?;
    let get = |names: [&str; 4]| pairs.0.iter().find(|(key, _)| names.contains(&key.as_ref())).map(|(_, node)| node);
    let Some(Node::Json(key)) = get(["key", "name", "field", "label"]) else { return None };
    let key = string(key)?.into_owned();
    let Some(Node::Json(value)) = get(["value", "val", "stringValue", "Value"]) else { return None };
    // OpenTelemetry: {"stringValue": "x"}
    let inner = self::pairs(value).filter(|typed| typed.0.len() == 1);
    let inner = inner.and_then(|typed| typed.0.into_iter().next()).filter(|(name, _)| name.ends_with("Value"));
    let value = match inner {
        Some((_, Node::Json(inner))) => inner.into_owned(),
        _ => value.as_ref().to_owned(),
    };
    Some((Cow::Owned(key), Node::Json(Cow::Owned(value))))
}
