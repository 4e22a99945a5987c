//! What tells that a text holds only a part of what was asked for: an answer with more pages, of a search that did not
//! end, of an engine that failed; kubectl's errors among the lines of a log.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::json::{self, Node, Pairs};

/// How kubectl tells that what it wrote is not all.
const ERRORS: [&str; 6] = [
    "error: unexpected EOF",
    "error: you are attempting to follow",
    "Error from server (",
    "Unable to connect to the server",
    "unable to retrieve container logs for",
    "failed to watch file ",
];

/// What is said of pages.
const PAGES: &str = "there are more pages, unless they are among the files";

/// The longest text of others that is repeated.
const MOST_SIGNS: usize = 120;

/// Why the log around a line is only a part.
pub(super) fn of_line(line: &str) -> Option<String> {
    let is_error = line.starts_with(['e', 'E', 'u', 'U', 'f']) && ERRORS.iter().any(|start| line.starts_with(start));
    is_error.then(|| format!("kubectl says `{}`", beginning(line)))
}

/// Why an engine's answer with events is only a part.
pub(super) fn of_answer(answer: &str) -> Option<String> {
    let pairs = json::pairs(answer)?;
    let has = |key: &str| pairs.get(key).is_some();
    let goes_on = |key: &str| text(&pairs, key).is_some_and(|token| !token.is_empty());
    if has("events") && goes_on("nextToken") || has("entries") && goes_on("nextPageToken") {
        return Some(PAGES.to_owned());
    }
    if has("hits") {
        return of_search(&pairs);
    }
    if has("data") && parsed(&pairs, "meta").is_some_and(|meta| meta["page"]["after"].is_string()) {
        return Some(PAGES.to_owned());
    }
    if !has("results") {
        return None;
    }
    let state = text(&pairs, "status").unwrap_or_default();
    if has("statistics") && ["Running", "Scheduled", "Failed", "Cancelled", "Timeout"].contains(&state.as_str()) {
        return Some(format!("the query had not come to its end (`{state}`)"));
    }
    let matched = parsed(&pairs, "statistics").and_then(|told| told["recordsMatched"].as_f64());
    let held = length(&pairs, "results");
    if let Some(matched) = matched.filter(|matched| *matched > held as f64) {
        return Some(format!("it holds {held} of {matched} records"));
    }
    (parsed(&pairs, "preview") == Some(Value::Bool(true)))
        .then(|| "it is a preview, of a search that goes on".to_owned())
}

/// An answer of Elasticsearch or OpenSearch.
fn of_search(pairs: &Pairs<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Hits {
        total: Option<Value>,
        hits: Vec<IgnoredAny>,
    }
    if parsed(pairs, "timed_out") == Some(Value::Bool(true)) {
        return Some("the search ran out of time".to_owned());
    }
    let failed = parsed(pairs, "_shards").and_then(|shards| shards["failed"].as_u64()).unwrap_or_default();
    if failed > 0 {
        return Some(format!("shards that failed: {failed}"));
    }
    let Node::Json(hits) = pairs.get("hits")? else { return None };
    let hits: Hits = serde_json::from_str(hits).ok()?;
    let total = hits.total.unwrap_or_default();
    let at_least = if total["relation"] == "gte" { "at least " } else { "" };
    let total = total.as_u64().or_else(|| total["value"].as_u64())?;
    let held = hits.hits.len();
    (total > held as u64).then(|| format!("it holds {held} of {at_least}{total} records"))
}

/// Why an engine gave an error in place of an answer.
pub(super) fn of_failure(answer: &str) -> Option<String> {
    let pairs = json::pairs(answer)?;
    let error = parsed(&pairs, "error").filter(|error| !error.is_null());
    let is_answer = text(&pairs, "status").is_some_and(|status| status == "error")
        || pairs.get("errorType").is_some()
        || parsed(&pairs, "status").is_some_and(|status| status.as_u64().is_some_and(|status| status >= 400));
    let error = error.filter(|_| is_answer)?;
    let words = error.as_str().or_else(|| error["reason"].as_str()).or_else(|| error["message"].as_str());
    Some(format!("it is an error of the engine (`{}`)", beginning(words.unwrap_or_default())))
}

fn parsed(pairs: &Pairs<'_>, key: &str) -> Option<Value> {
    match pairs.get(key)? {
        Node::Json(text) => serde_json::from_str(text).ok(),
        Node::Text(_) => None,
    }
}

fn text(pairs: &Pairs<'_>, key: &str) -> Option<String> {
    parsed(pairs, key).and_then(|value| value.as_str().map(str::to_owned))
}

fn length(pairs: &Pairs<'_>, key: &str) -> usize {
    match pairs.get(key) {
        Some(Node::Json(text)) => serde_json::from_str::<Vec<IgnoredAny>>(text).map_or(0, |items| items.len()),
        _ => 0,
    }
}

fn beginning(words: &str) -> String {
    let mut signs = words.chars();
    let begun: String = signs.by_ref().take(MOST_SIGNS).collect();
    if signs.next().is_some() { begun + "…" } else { begun }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_whether_it_is_all() {
        for (answer, found, wanted) in [
            (r#"{"events": [{}, {}], "nextToken": "x"}"#, 2, Some(PAGES)),
            (r#"{"events": [{}, {}], "nextForwardToken": "x"}"#, 2, None),
            (r#"{"entries": [{}], "nextPageToken": "x"}"#, 1, Some(PAGES)),
            (r#"{"entries": [{}], "nextPageToken": ""}"#, 1, None),
            (r#"{"data": [{}], "meta": {"page": {"after": "x"}}}"#, 1, Some(PAGES)),
            (r#"{"hits": {"total": {"value": 1, "relation": "eq"}, "hits": [{}]}, "timed_out": false}"#, 1, None),
            (
                r#"{"hits": {"total": {"value": 10000, "relation": "gte"}, "hits": [{}]}}"#,
                1,
                Some("it holds 1 of at least 10000 records"),
            ),
            (r#"{"hits": {"total": 2, "hits": [{}]}}"#, 1, Some("it holds 1 of 2 records")),
            (r#"{"hits": {"hits": [{}]}, "timed_out": true}"#, 1, Some("the search ran out of time")),
            (r#"{"hits": {"hits": [{}]}, "_shards": {"failed": 2}}"#, 1, Some("shards that failed: 2")),
            (
                r#"{"results": [[]], "statistics": {"recordsMatched": 1.0}, "status": "Running"}"#,
                1,
                Some("the query had not come to its end (`Running`)"),
            ),
            (r#"{"results": [[]], "statistics": {"recordsMatched": 1.0}, "status": "Complete"}"#, 1, None),
            (r#"{"results": [{}], "preview": true}"#, 1, Some("it is a preview, of a search that goes on")),
            (
                r#"{"status": "error", "errorType": "timeout", "error": "too slow"}"#,
                0,
                Some("it is an error of the engine (`too slow`)"),
            ),
            (
                r#"{"error": {"reason": "no such index"}, "status": 404}"#,
                0,
                Some("it is an error of the engine (`no such index`)"),
            ),
            (r#"{"level": "error", "error": "x", "status": 200, "msg": "y"}"#, 0, None),
        ] {
            let told = if found == 0 { of_failure(answer) } else { of_answer(answer) };
            assert_eq!(told.as_deref(), wanted, "{answer}");
        }
    }

    #[test]
    fn words_of_kubectl_are_told_from_a_proxys() {
        assert!(of_line("error: unexpected EOF").is_some());
        assert!(of_line("Error from server (NotFound): pods \"x\" not found").is_some());
        for line in ["error: something else", "2026-11-20T15:43:09Z error: unexpected EOF", "failed", ""] {
            assert_eq!(of_line(line), None, "{line}");
        }
    }
}
