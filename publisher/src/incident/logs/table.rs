//! Tables in JSON: column names in one place and rows of bare values in another, as stores answer queries.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{self, Node, Pairs};

/// Where the names of the columns stand, and where the rows do.
const COLUMNS: [&str; 5] = ["columns", "schema", "meta", "fields", "columnInfo"];
const ROWS: [&str; 6] = ["rows", "values", "data", "datarows", "results", "records"];

/// The rows of a table, each as if it were an object; none if the object is no table.
pub(super) fn rows<'a>(table: &'a Pairs<'a>) -> Option<Vec<Pairs<'a>>> {
    let names = COLUMNS.iter().find_map(|key| names(json_of(table.get(key)?)?))?;
    let rows = ROWS.iter().find_map(|key| {
        let json = json_of(table.get(key)?)?;
        // Grafana's frames: {"schema": {"fields": […]}, "data": {"values": […]}}
        match json::pairs(json) {
            Some(_) => columnar(serde_json::from_str::<Values<'_>>(json).ok()?.values, names.len()),
            None => json::elements(json)?.into_iter().map(|row| json::elements(row.get())).collect(),
        }
    })?;
    let fits = |row: &Vec<&RawValue>| row.len() == names.len();
    rows.iter().all(fits).then(|| rows.into_iter().map(|row| Pairs::of_columns(&names, row)).collect())
}

#[derive(serde::Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    values: Vec<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    fields: &'a RawValue,
}

/// Columns as rows.
fn columnar<'a>(columns: Vec<&'a RawValue>, names: usize) -> Option<Vec<Vec<&'a RawValue>>> {
    let columns: Vec<Vec<&RawValue>> =
        columns.into_iter().map(|column| json::elements(column.get())).collect::<Option<_>>()?;
    let length = columns.first().filter(|_| columns.len() == names)?.len();
    let row = |at| columns.iter().map(|column: &Vec<&'a RawValue>| column.get(at).copied()).collect::<Option<Vec<_>>>();
    (0..length).map(row).collect()
}

fn names(json: &str) -> Option<Vec<Cow<'_, str>>> {
    if json::pairs(json).is_some() {
        return names(serde_json::from_str::<Fields<'_>>(json).ok()?.fields.get());
    }
    let name = |column: &RawValue| {
        let text = json::string(column.get()).map(Cow::into_owned);
        let named = || {
            let pairs = json::pairs(column.get())?;
            let name = pairs.get("name").or_else(|| pairs.get("Name")).or_else(|| pairs.get("text"))?;
            json::scalar(name).map(Cow::into_owned)
        };
        text.or_else(named).map(Cow::Owned)
    };
    json::elements(json)?.into_iter().map(name).collect()
}

fn json_of<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match node {
        Node::Json(json) => Some(json),
        Node::Text(_) => None,
    }
}
