//! A YAML or JSON value that knows where it stands in its file.
//!
//! Fields are found by paths such as `spec.subsets[1].trafficPolicy`, the form in which findings name them; so the place of a
//! finding is looked up and never carried along. What a field means is not known here.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

/// A line, and where it is known a column; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line in the file.
    pub line: u64,
    /// Column in the line; `None` where the value was a text inside the file.
    pub column: Option<u64>,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it starts; for the value of a field, where the field's name starts.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Null, a truth value, a number or a text.
    Scalar(Json),
    /// A list.
    List(Vec<Node>),
    /// Fields, in their order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A field of a map; a null is as good as none.
    pub fn field(&self, name: &str) -> Option<&Node> {
        let Value::Map(fields) = &self.value else { return None };
        let found = fields.iter().find(|(key, _)| key == name).map(|(_, node)| node);
        found.filter(|node| !matches!(node.value, Value::Scalar(Json::Null)))
    }

    /// The node at a path such as `spec.subsets[1].name`. Names with dots or brackets in them cannot be reached.
    pub fn at(&self, path: &str) -> Option<&Node> {
        steps(path).try_fold(self, Node::step)
    }

    /// The place of the deepest node on a path that is there.
    pub fn place_of(&self, path: &str) -> Place {
        let mut here = self;
        for step in steps(path) {
            match here.step(step) {
                Some(next) => here = next,
                None => break,
            }
        }
        here.place
    }

    fn step(&self, step: &str) -> Option<&Node> {
        match (step.strip_suffix(']'), &self.value) {
            (Some(index), Value::List(items)) => items.get(index.parse::<usize>().ok()?),
            _ => self.field(step),
        }
    }

    /// The text at a path.
    pub fn text(&self, path: &str) -> Option<&str> {
        match &self.at(path)?.value {
            Value::Scalar(Json::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The whole number at a path; as Kubernetes does not, a number in quotes is not accepted.
    pub fn number(&self, path: &str) -> Option<u64> {
        match &self.at(path)?.value {
            Value::Scalar(Json::Number(number)) => number.as_u64(),
            _ => None,
        }
    }

    /// The truth value at a path.
    pub fn flag(&self, path: &str) -> Option<bool> {
        match &self.at(path)?.value {
            Value::Scalar(Json::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// The items of the list at a path; none if there is no list.
    pub fn list(&self, path: &str) -> &[Node] {
        match self.at(path).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The fields of the map at a path; none if there is no map.
    pub fn map(&self, path: &str) -> &[(String, Node)] {
        match self.at(path).map(|node| &node.value) {
            Some(Value::Map(fields)) => fields,
            _ => &[],
        }
    }

    /// The same as JSON, without the places.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(fields) => Json::Object(fields.iter().map(|(key, node)| (key.clone(), node.json())).collect()),
        }
    }

    /// Moves the places of a text that stands inside a file. In a block (`key: |`) it starts on the line after `at`; else all
    /// of it is at `at`.
    pub fn inside(mut self, at: Place, is_block: bool) -> Self {
        self.move_all(at.line, is_block);
        self
    }

    fn move_all(&mut self, line: u64, is_block: bool) {
        self.place = Place { line: if is_block { line + self.place.line } else { line }, column: None };
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.move_all(line, is_block)),
            Value::Map(fields) => fields.iter_mut().for_each(|(_, node)| node.move_all(line, is_block)),
        }
    }
}

/// `a.b[2].c` as `a`, `b`, `2]`, `c`.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[']).filter(|step| !step.is_empty())
}

/// Reads every document of a YAML or JSON text; empty ones are left out.
///
/// # Errors
/// When it is neither, with the place where that shows.
pub fn parse(text: &str) -> Result<Vec<Node>, (Option<Place>, String)> {
    // What `kubectl get` prints of a large mesh is beyond the reader's default bounds.
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    let read: Result<Vec<Spanned<Raw>>, _> = serde_saphyr::from_multiple_with_options(text, options);
    match read {
        Ok(documents) => {
            let nodes = documents.into_iter().map(Node::from);
            Ok(nodes.filter(|node| !matches!(node.value, Value::Scalar(Json::Null))).collect())
        }
        Err(error) => {
            let at = error.location().map(|at| Place { line: at.line(), column: Some(at.column()) });
            Err((at, error.to_string()))
        }
    }
}

/// A value as the reader gives it: the place is around each value, not in it.
enum Raw {
    Scalar(Json),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl From<Spanned<Raw>> for Node {
    fn from(raw: Spanned<Raw>) -> Self {
        let place = place_at(&raw.referenced);
        let value = match raw.value {
            Raw::Scalar(scalar) => Value::Scalar(scalar),
            Raw::List(items) => Value::List(items.into_iter().map(Node::from).collect()),
            Raw::Map(fields) => Value::Map(
                fields
                    .into_iter()
                    .map(|(key, value)| (key.value, Node { place: place_at(&key.referenced), ..Node::from(value) }))
                    .collect(),
            ),
        };
        Self { place, value }
    }
}

fn place_at(at: &serde_saphyr::Location) -> Place {
    Place { line: at.line(), column: Some(at.column()) }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(field) = fields.next_entry()? {
            map.push(field);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_know_their_lines_in_yaml_and_json() {
        let text = "a: 1\nb:\n  c:\n  - d: x\n  - d: {e: [1, two]}\n---\nsecond: true\n";
        let nodes = parse(text).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].place_of("b.c[1].d.e"), Place { line: 5, column: Some(9) });
        assert_eq!(nodes[0].place_of("b.c[1].nothing.here").line, 5);
        assert_eq!(nodes[0].text("b.c[0].d"), Some("x"));
        assert_eq!(nodes[1].place_of("second").line, 7);
        assert_eq!(nodes[0].json(), serde_json::json!({"a": 1, "b": {"c": [{"d": "x"}, {"d": {"e": [1, "two"]}}]}}));
        let json = parse("{\n \"a\": {\n\t\"b\": -1.5}}").unwrap();
        assert_eq!(json[0].place_of("a.b").line, 3);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let (place, _) = parse("a: 1\nb: [1\nc: 2\n").unwrap_err();
        assert!(place.is_some_and(|place| place.line >= 2), "{place:?}");
    }
}
