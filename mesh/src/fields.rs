//! The fields of Istio's resources that do not exist, or are read no more.
//!
//! The API server drops a field that the schema does not have, so what was meant by it is not in force.

use super::{MESH_CONFIG, Resource};
use crate::schema::{OF_MESH, Type, field_of, fields_of, is_whole};
use crate::yaml::node::{Node, Value};

/// A field that Istio does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stray {
    /// There is no such field.
    Unknown {
        /// Where it is written.
        path: String,
        /// What to write instead.
        remedy: String,
    },
    /// The schema has it, and istiod ignores it.
    Removed {
        /// Where it is written.
        path: String,
    },
}

impl Stray {
    /// Where it is written.
    pub fn path(&self) -> &str {
        match self {
            Self::Unknown { path, .. } | Self::Removed { path } => path,
        }
    }
}

/// The kinds that are looked into.
const KINDS: [&str; 3] = ["DestinationRule", "ServiceEntry", "WorkloadEntry"];

/// What a resource has at its top.
const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// Fields that the schema has and istiod ignores.
const REMOVED: [&str; 1] = ["outlierDetection.consecutiveErrors"];

/// Every field of a resource that Istio does not read; none for kinds without a table.
pub fn strays(resource: &Resource) -> Vec<Stray> {
    let mut found = Vec::new();
    if resource.kind == MESH_CONFIG {
        of_mesh(&resource.node, &mut found);
        return found;
    }
    let Some(kind) = KINDS.into_iter().find(|kind| resource.is_istio(kind)) else { return found };
    let mut look = Look { kind, found: &mut found };
    look.top(&resource.node);
    if let Some(spec) = resource.node.field("spec") {
        look.object(spec, kind, "spec");
    }
    found
}

/// The blocks of a MeshConfig that faultline reads, and names that are all but theirs.
fn of_mesh(config: &Node, found: &mut Vec<Stray>) {
    let mut look = Look { kind: "MeshTrafficPolicy", found };
    for (path, object) in OF_MESH {
        if let Some(block) = config.at(path) {
            look.object(block, object, path);
        }
    }
    let tops = ["localityLbSetting", "defaultTrafficPolicy"];
    for (name, _) in config.map("") {
        let is_other = tops.iter().all(|top| name != top);
        if let Some(top) = tops.into_iter().find(|top| is_other && distance(&plain(top), &plain(name)) < 3) {
            look.found.push(Stray::Unknown { path: name.clone(), remedy: format!("write `{top}`") });
        }
    }
}

/// A name without what people get wrong in one.
pub(super) fn plain(text: &str) -> String {
    text.to_ascii_lowercase().replace(['_', '-'], "")
}

struct Look<'a> {
    kind: &'static str,
    found: &'a mut Vec<Stray>,
}

impl Look<'_> {
    /// What stands beside `spec`.
    fn top(&mut self, node: &Node) {
        for (name, value) in node.map("").iter().filter(|(name, _)| !TOP.contains(&name.as_str())) {
            let remedy = self.remedy(name, value, &TOP, "");
            self.found.push(Stray::Unknown { path: name.clone(), remedy });
        }
    }

    fn value(&mut self, node: &Node, kind: Type, path: &str) {
        match (kind, &node.value) {
            (Type::Object(object), Value::Map(_)) => self.object(node, object, path),
            (Type::List(inner), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, *inner, &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, node: &Node, object: &'static str, path: &str) {
        if !is_whole(object) {
            return;
        }
        for (name, value) in node.map("") {
            let inner = format!("{path}.{name}");
            match field_of(object, name) {
                Some(_) if REMOVED.iter().any(|removed| inner.ends_with(removed)) => {
                    // A 0 asks for nothing.
                    if value.number("") != Some(0) {
                        self.found.push(Stray::Removed { path: inner });
                    }
                }
                Some(kind) => self.value(value, kind, &inner),
                None => {
                    let known: Vec<&str> = fields_of(object).iter().map(|(known, _)| *known).collect();
                    let remedy = self.remedy(name, value, &known, path);
                    self.found.push(Stray::Unknown { path: inner, remedy });
                }
            }
        }
    }

    /// What to write instead of an unknown field.
    fn remedy(&self, name: &str, value: &Node, known: &[&'static str], path: &str) -> String {
        let of_parent = |field: &str| known.contains(&field);
        if let Value::Map(inner) = &value.value
            && !inner.is_empty()
            && inner.iter().all(|(field, _)| of_parent(field))
        {
            return format!("write its fields into `{path}` itself");
        }
        let near = |known: &&str| {
            let (known, name) = (plain(known), plain(name));
            distance(&known, &name) < 3 || (name.len() > 5 && (known.starts_with(&name) || name.starts_with(&known)))
        };
        let mut beside = known.iter().copied();
        let same = beside.clone().find(|known| plain(known) == plain(name));
        if let Some(known) = same.or_else(|| beside.find(near)) {
            let inner = if path.is_empty() { known.to_owned() } else { format!("{path}.{known}") };
            return format!("write `{inner}`");
        }
        match self.search(name) {
            Some(place) => format!("it belongs to `{place}`: move it there"),
            None => "remove it, or set what is meant by the fields that Istio has".to_owned(),
        }
    }

    /// The shortest path at which the resource has a field of this name.
    fn search(&self, name: &str) -> Option<String> {
        let mut next = vec![(self.kind, "spec".to_owned())];
        for _ in 0..5 {
            let mut deeper = Vec::new();
            for (object, path) in next {
                for (known, kind) in fields_of(object) {
                    let inner = format!("{path}.{known}");
                    if known.eq_ignore_ascii_case(name) {
                        return Some(inner);
                    }
                    if let Some(object) = object_in(*kind) {
                        deeper.push((object, inner));
                    }
                }
            }
            next = deeper;
        }
        None
    }
}

/// The object that a value is, or of which it is a list.
fn object_in(kind: Type) -> Option<&'static str> {
    match kind {
        Type::Object(object) => Some(object),
        Type::List(inner) => object_in(*inner),
        _ => None,
    }
}

/// How many letters must be changed, added or removed to make one word of the other.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row.get(j).copied().unwrap_or(0) + usize::from(x != *y);
            let removed = row.get(j + 1).copied().unwrap_or(0) + 1;
            let added = next.last().copied().unwrap_or(0) + 1;
            next.push(replaced.min(removed).min(added));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
