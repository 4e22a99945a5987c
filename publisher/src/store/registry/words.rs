//! Reads what a server says in the body of an error: the registry's own words tell people more than a status does.

use serde_json::Value;

use crate::terminal::escape;

/// The most characters of a server's words that an error repeats.
const MOST_WORDS: usize = 300;

/// Where services that do not follow the distribution specification put their words, most telling first.
const ELSEWHERE: [&str; 7] = ["error_description", "message", "details", "detail", "reason", "error", "title"];

/// What every registry says of its status, which tells nothing of the reason.
const GENERIC: [&str; 17] = [
    "",
    "404 page not found",
    "access denied",
    "access forbidden",
    "authentication required",
    "blob unknown",
    "blob unknown to registry",
    "denied",
    "forbidden",
    "insufficient_scope",
    "manifest unknown",
    "manifest unknown to registry",
    "not found",
    "permission denied",
    "repository name not known to registry",
    "requested access to the resource is denied",
    "unauthorized",
];

/// What an error's body says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// The first error code of the distribution specification, if there is one.
    pub(super) code: Option<String>,
    /// The words, escaped and cut.
    pub(super) text: String,
}

impl Words {
    /// Reads a body: the specification's list of errors, another service's JSON, an HTML page's title, or plain text.
    pub(super) fn of(body: &str) -> Self {
        let body = body.trim();
        let json = serde_json::from_str::<Value>(body).unwrap_or_default();
        let errors = json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let code = errors.first().and_then(|error| error["code"].as_str()).map(str::to_owned);
        let text = if !errors.is_empty() {
            errors.iter().take(3).map(one).filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ")
        } else if json.is_object() {
            ELSEWHERE.iter().find_map(|name| text_of(&json[*name])).unwrap_or_else(|| body.to_owned())
        } else if is_html(body) {
            title(body).map_or_else(|| "an HTML page".to_owned(), |title| format!("an HTML page, `{title}`"))
        } else {
            body.to_owned()
        };
        Self { code, text: cut(&text) }
    }
}

/// Whether words tell no more than their status.
pub(super) fn is_generic(text: &str) -> bool {
    GENERIC.contains(&text.trim_end_matches('.').to_ascii_lowercase().as_str())
}

fn one(error: &Value) -> String {
    let code = error["code"].as_str().unwrap_or_default();
    let message = error["message"].as_str().filter(|message| !message.is_empty()).unwrap_or(code);
    // The detail of these only repeats the request.
    let repeats = matches!(code, "UNAUTHORIZED" | "DENIED" | "MANIFEST_UNKNOWN" | "NAME_UNKNOWN");
    let detail = match &error["detail"] {
        Value::String(detail) => Some(detail.clone()).filter(|detail| !detail.is_empty()),
        detail @ (Value::Object(_) | Value::Array(_)) if !repeats => text_of(detail).or(Some(detail.to_string())),
        _ => None,
    };
    match detail.filter(|detail| detail != message && !matches!(detail.as_str(), "{}" | "[]")) {
        Some(detail) => format!("{message}: {detail}"),
        None => message.to_owned(),
    }
}

/// A string, or the message in an object.
fn text_of(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value["message"].as_str());
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn is_html(body: &str) -> bool {
    let start: String = body.chars().take(15).collect::<String>().to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

fn title(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower.get(start..)?.find("</title>")?;
    page.get(start..end).map(|title| title.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn cut(text: &str) -> String {
    let text = escape::one_line(text);
    match text.char_indices().nth(MOST_WORDS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_wherever_a_service_puts_them() {
        for (body, words) in [
            (r#"{"errors":[{"code":"DENIED","message":"over the quota"}]}"#, "over the quota"),
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":[{"Type":"repository"}]},{"code":"X"}]}"#, "no; X"),
            (
                r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"unknown media type: a/b"}]}"#,
                "manifest invalid: unknown media type: a/b",
            ),
            (r#"{"errors":[{"code":"B","message":"b","detail":{"Digest":"d"}}]}"#, r#"b: {"Digest":"d"}"#),
            (r#"{"errors":[{"code":"B","message":"b","detail":{}}]}"#, "b"),
            (r#"{"errors":[{"code":"A_NEW_CODE"}]}"#, "A_NEW_CODE"),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "expired"),
            (r#"{"error":{"message":"nested"}}"#, "nested"),
            (r#"{"unknown":1}"#, r#"{"unknown":1}"#),
            ("<!DOCTYPE HTML><TITLE>502\n Bad Gateway</TITLE>", "an HTML page, `502 Bad Gateway`"),
            ("<html>", "an HTML page"),
            (" plain\u{1b}[2J\n", r"plain\u{1b}[2J"),
            ("", ""),
        ] {
            assert_eq!(Words::of(body).text, words, "{body}");
        }
        assert_eq!(Words::of(&"ä".repeat(400)).text.chars().count(), MOST_WORDS + 1);
    }

    #[test]
    fn what_every_registry_says_is_told_from_reasons() {
        assert!(is_generic("requested access to the resource is denied") && is_generic("Forbidden."));
        assert!(!is_generic("The token provided does not match expected scopes."));
    }
}
