//! A line for each request and its answer, for those who ask to see them. Headers and queries may hold secrets, so only
//! those are shown that do not.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Method, Response, Url};

use super::cause::RequestError;

/// The headers of an answer that hold no secret.
const SHOWN: [&str; 5] = ["content-type", "content-length", "docker-content-digest", "oci-subject", "retry-after"];

/// What was asked and what was answered.
pub(super) fn line(method: &Method, url: &Url, took: Duration, answered: &Result<Response, RequestError>) -> String {
    let asked = format!("{method} {}", without_query_values(url));
    let ms = took.as_millis();
    let response = match answered {
        Err(error) => return format!("{asked} -> {} ({ms} ms)", error.cause.what()),
        Ok(response) => response,
    };
    let mut line = format!("{asked} -> {} ({ms} ms)", response.status().as_u16());
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    for name in SHOWN {
        if let Some(value) = header(name) {
            let _ = write!(line, "; {name}: {value}");
        }
    }
    if response.url() != url {
        let _ = write!(line, "; redirected to {}", without_query_values(response.url()));
    }
    if let Some(to) = header(LOCATION.as_str()).and_then(|to| response.url().join(to).ok()) {
        let _ = write!(line, "; location: {}", without_query_values(&to));
    }
    line
}

/// A URL as it may be shown: a query can hold a signature or a token, so only the names in it are shown, and the values
/// that are known to be harmless.
fn without_query_values(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = (shown.set_username(""), shown.set_password(None));
    shown.set_query(None);
    let parts = url.query_pairs().map(|(name, value)| match &*name {
        "n" | "last" | "digest" | "mount" | "from" | "service" | "scope" | "artifactType" => format!("{name}={value}"),
        _ => format!("{name}=…"),
    });
    let query = parts.collect::<Vec<_>>().join("&");
    if query.is_empty() { shown.to_string() } else { format!("{shown}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_could_be_a_secret() {
        let url = Url::parse("https://u:p@r.example.com/v2/a?signature=s3cret&digest=sha256:0&_state=x").unwrap();
        let shown = without_query_values(&url);
        assert_eq!(shown, "https://r.example.com/v2/a?signature=…&digest=sha256:0&_state=…");
    }
}
