//! A YAML or JSON value that knows its position in its file.
//!
//! Fields are found by paths such as `spec.subsets[1].trafficPolicy`, the form in which findings name them. So the
//! position of a finding is looked up and need not be carried along. This file does not know what a field means.

use serde_json::Value as Json;

/// A line and, if known, a column; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line in the file.
    pub line: u64,
    /// Column in the line; `None` if the value was a text embedded in the file.
    pub column: Option<u64>,
}

/// A value and its position.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it starts; for the value of a field, the start of the field's name.
    pub position: Position,
    /// The value itself.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Null, a boolean, a number or a string.
    Scalar(Json),
    /// A list.
    List(Vec<Node>),
    /// Fields, in file order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A field of a map; `null` counts as absent.
    pub fn field(&self, name: &str) -> Option<&Node> {
        let Value::Map(fields) = &self.value else { return None };
        let found = fields.iter().find(|(key, _)| key == name).map(|(_, node)| node);
        found.filter(|node| !matches!(node.value, Value::Scalar(Json::Null)))
    }

    /// The node at a path such as `spec.subsets[1].name`. Names with dots or brackets in them cannot be reached.
    pub fn at(&self, path: &str) -> Option<&Node> {
        steps(path).try_fold(self, Node::step)
    }

    /// The position of the deepest existing node on a path.
    pub fn position_of(&self, path: &str) -> Position {
        let mut here = self;
        for step in steps(path) {
            match here.step(step) {
                Some(next) => here = next,
                None => break,
            }
        }
        here.position
    }

    fn step(&self, step: &str) -> Option<&Node> {
        match (step.strip_suffix(']'), &self.value) {
            (Some(index), Value::List(items)) => items.get(index.parse::<usize>().ok()?),
            _ => self.field(step),
        }
    }

    /// The string at a path.
    pub fn text(&self, path: &str) -> Option<&str> {
        match &self.at(path)?.value {
            Value::Scalar(Json::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer at a path. As in Kubernetes, `3.0` and `3e0` are 3, and a number in quotes is not accepted.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.integer(path).and_then(|number| u64::try_from(number).ok())
    }

    /// As [`Node::number`], with a sign.
    pub fn integer(&self, path: &str) -> Option<i128> {
        let Value::Scalar(Json::Number(number)) = &self.at(path)?.value else { return None };
        let whole = number.as_u64().map(i128::from).or(number.as_i64().map(i128::from));
        whole.or_else(|| {
            // Beyond 2^53 a float is no longer one whole number.
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
            format!("{float:.0}").parse().ok()
        })
    }

    /// The boolean at a path.
    pub fn flag(&self, path: &str) -> Option<bool> {
        match &self.at(path)?.value {
            Value::Scalar(Json::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// The items of the list at a path; empty if there is no list.
    pub fn list(&self, path: &str) -> &[Node] {
        match self.at(path).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The items of the list in a field, which nobody else needs any more; empty if there is no list.
    pub fn into_list(self, name: &str) -> Vec<Node> {
        let Value::Map(fields) = self.value else { return Vec::new() };
        match fields.into_iter().find(|(key, _)| key == name).map(|(_, node)| node.value) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }

    /// The fields of the map at a path; empty if there is no map.
    pub fn map(&self, path: &str) -> &[(String, Node)] {
        match self.at(path).map(|node| &node.value) {
            Some(Value::Map(fields)) => fields,
            _ => &[],
        }
    }

    /// Converts to JSON, without the positions.
    pub fn json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::List(items) => Json::Array(items.iter().map(Node::json).collect()),
            Value::Map(fields) => Json::Object(fields.iter().map(|(key, node)| (key.clone(), node.json())).collect()),
        }
    }

    /// Moves the positions of a text that is embedded in a file. In a block scalar (`key: |`) the text starts on the
    /// line after `at`; otherwise all of it is at `at`.
    pub fn inside(mut self, at: Position, is_block: bool) -> Self {
        self.move_all(at.line, is_block);
        self
    }

    /// Moves all positions down by some lines.
    pub fn lowered(mut self, lines: u64) -> Self {
        self.lower(lines);
        self
    }

    fn lower(&mut self, lines: u64) {
        self.position.line += lines;
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.lower(lines)),
            Value::Map(fields) => fields.iter_mut().for_each(|(_, node)| node.lower(lines)),
        }
    }

    fn move_all(&mut self, line: u64, is_block: bool) {
        self.position = Position { line: if is_block { line + self.position.line } else { line }, column: None };
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.move_all(line, is_block)),
            Value::Map(fields) => fields.iter_mut().for_each(|(_, node)| node.move_all(line, is_block)),
        }
    }
}

/// Splits `a.b[2].c` into `a`, `b`, `2]`, `c`.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[']).filter(|step| !step.is_empty())
}
