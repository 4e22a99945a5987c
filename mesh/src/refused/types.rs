//! Values of another type than the schema has, or outside of its bounds: what the API server refuses.

use serde_json::Value as Json;

use super::refusal::{Refusal, What};
use crate::durations;
use crate::schema::{Field, OF_MESH, Type, field_of, of_kind};
use crate::yaml::node::{Node, Value};
use crate::{MESH_CONFIG, Resource};

/// Every such value of a resource.
pub(super) fn check(resource: &Resource) -> Vec<Refusal> {
    let mut look = Look { found: Vec::new() };
    if resource.kind == MESH_CONFIG {
        for (path, object) in OF_MESH {
            if let Some(block) = resource.node.at(path) {
                look.value(block, Type::Object(object), path);
            }
        }
        return look.found;
    }
    let Some((spec, beside)) = of_kind(&resource.group, &resource.kind) else { return look.found };
    for (name, value) in resource.node.map("") {
        match name.as_str() {
            "metadata" => look.value(value, Type::Object("Metadata"), name),
            "spec" => look.value(value, Type::Object(spec), name),
            _ => {
                if let Some((_, kind)) = beside.iter().find(|(known, _): &&Field| known == name) {
                    look.value(value, *kind, name);
                }
            }
        }
    }
    look.found
}

struct Look {
    found: Vec<Refusal>,
}

impl Look {
    fn value(&mut self, node: &Node, kind: Type, path: &str) {
        if matches!(node.value, Value::Scalar(Json::Null)) {
            // The API server takes a null for nothing, but not in a list.
            if path.ends_with(']') && kind != Type::Any {
                let fix = format!("write {} there, or remove the item", wanted(kind));
                self.found.push(Refusal::new(path, "is null, an item without a value", &fix).of(What::Type));
            }
            return;
        }
        match (kind, &node.value) {
            (Type::Any, _) => {}
            (Type::Object(object), Value::Map(fields)) => {
                for (name, value) in fields {
                    if let Some(kind) = field_of(object, name) {
                        self.value(value, kind, &format!("{path}.{name}"));
                    }
                }
            }
            (Type::Map(inner), Value::Map(fields)) => {
                for (name, value) in fields {
                    self.value(value, *inner, &format!("{path}.{name}"));
                }
            }
            (Type::List(inner), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, *inner, &format!("{path}[{index}]"));
                }
            }
            _ => self.scalar(node, kind, path),
        }
    }

    fn scalar(&mut self, node: &Node, kind: Type, path: &str) {
        let is_right = match kind {
            Type::Text | Type::Duration | Type::DurationOrNone | Type::OneOf(_) => node.text("").is_some(),
            Type::Flag => node.flag("").is_some(),
            Type::Number => matches!(&node.value, Value::Scalar(Json::Number(_))),
            Type::Integer(..) => node.integer("").is_some(),
            Type::Any => true,
            Type::Object(_) | Type::List(_) | Type::Map(_) => false,
        };
        let problem = match (kind, node.text(""), node.integer("")) {
            _ if !is_right => format!("got {}, wanted {}", got(node), wanted(kind)),
            (Type::Integer(min, max), _, Some(number)) if number < min.into() || number > max.into() => {
                format!("got {number}, wanted {}", bounds(min, max))
            }
            (Type::OneOf(known), Some(text), _) if !known.contains(&text) => {
                format!("got \"{text}\", wanted {}", wanted(kind))
            }
            (Type::Duration, Some(text), _) => match durations::read(text) {
                Err(problem) => problem,
                Ok(_) => return,
            },
            (Type::DurationOrNone, Some(text), _) => match durations::problem_or_none(text) {
                Some(problem) => problem,
                None => return,
            },
            _ => return,
        };
        let fix = match kind {
            _ if is_right => "write a value that it takes",
            Type::Text if matches!(node.value, Value::Scalar(_)) => "put quotes around it",
            Type::Flag => "write true or false, without quotes",
            Type::Integer(..) | Type::Number => "write a number, without quotes",
            _ => "write what is wanted there",
        };
        self.found.push(Refusal::new(path, problem, fix).of(What::Type));
    }
}

fn got(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.to_string(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "an object".to_owned(),
    }
}

fn wanted(kind: Type) -> String {
    match kind {
        Type::Any => "a value".to_owned(),
        Type::Text => "a text".to_owned(),
        Type::Flag => "true or false".to_owned(),
        Type::Integer(..) => "a whole number".to_owned(),
        Type::Number => "a number".to_owned(),
        Type::Duration | Type::DurationOrNone => "a duration such as \"30s\"".to_owned(),
        Type::OneOf(known) => format!("one of {}", known.join(", ")),
        Type::Object(_) | Type::Map(_) => "an object".to_owned(),
        Type::List(_) => "a list".to_owned(),
    }
}

fn bounds(min: i64, max: i64) -> String {
    match max {
        i64::MAX => format!("{min} or more"),
        _ => format!("a whole number from {min} to {max}"),
    }
}
