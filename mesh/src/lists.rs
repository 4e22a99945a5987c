//! What lists tell beside their items: what these are, and that some are missing.

use serde_json::Value as Json;

use crate::yaml::node::{Node, Value};

/// How kubectl's and helm's errors begin, where a shell put them into the same file.
const ERRORS: [&str; 4] = ["Error from server", "Error", "error", "Unable to connect to the server"];

/// Whether a list has not all that was asked for: what it is, and the remedy.
pub(super) fn missing(list: &Node) -> Option<(String, &'static str)> {
    let goes_on = list.text("metadata.continue").is_some_and(|token| !token.is_empty());
    let more = list.at("metadata.remainingItemCount").and_then(|count| count.json().as_u64());
    if goes_on || more.is_some_and(|more| more > 0) {
        let more = more.map_or_else(|| "more items".to_owned(), |more| format!("{more} more items"));
        return Some((
            format!("a list that goes on: {more} are on other pages"),
            "take all of it, with `kubectl get … -o yaml`; or name the other pages' files too",
        ));
    }
    let error = list.map("").iter().map(|(key, _)| key).find(|key| ERRORS.iter().any(|start| begins(key, start)))?;
    Some((
        format!("a list with an error of kubectl in it (`{error}`): what it asked for there is missing"),
        "see to the error, and write only standard output into the file (`>`, not `&>` or `2>&1`)",
    ))
}

/// Tells an item of a typed list, such as a ServiceList, its kind and version: the API server leaves them out, as
/// `kubectl get --raw` shows, and kubectl puts them in.
pub(super) fn complete(item: &mut Node, kind: &str, version: &str) {
    let is_told = ["kind", "apiVersion"].iter().any(|name| item.field(name).is_some());
    let Value::Map(fields) = &mut item.value else { return };
    if kind.is_empty() || is_told {
        return;
    }
    fields.reserve_exact(2);
    for (name, text) in [("apiVersion", version), ("kind", kind)] {
        let value = Value::Scalar(Json::from(text));
        fields.push((name.to_owned(), Node { position: item.position, value }));
    }
}

fn begins(key: &str, start: &str) -> bool {
    key.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}
