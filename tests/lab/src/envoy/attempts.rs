//! Envoy's own log lines for every attempt and every request, used to explain a disagreement.
//!
//! Attempts come from the router's upstream log, requests from the access log; both go to one file. Nothing is judged
//! by it: only the outlier event log shows which attempt counted against which endpoint.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One try at one endpoint.
    Attempt,
    /// The client's request, with its last attempt.
    Request,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What it is about.
    pub kind: Kind,
    /// When it started, in milliseconds since the Unix epoch.
    pub started: i64,
    /// When it was over, in milliseconds since the Unix epoch.
    pub ended: i64,
    /// The endpoint, `ip:port`; `-` if there was none.
    pub endpoint: String,
    /// Status code, response flags, details and anything else in the line.
    pub text: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Attempt { "attempt" } else { "request" };
        write!(f, "{kind} of {} ms: {}", self.ended - self.started, self.text)
    }
}

/// The file in `dir` to which Envoy writes the lines.
pub(crate) fn attempts_log(dir: &Path) -> PathBuf {
    dir.join("attempts.log")
}

/// The logger for `Router.upstream_log`.
pub(crate) fn attempt_logger(dir: &Path) -> Value {
    logger(dir, "attempt")
}

/// The logger for the connection manager's `access_log`.
pub(crate) fn request_logger(dir: &Path) -> Value {
    logger(dir, "request")
}

fn logger(dir: &Path, kind: &str) -> Value {
    let format =
        "%START_TIME(%s%3f)%\t%DURATION%\t%UPSTREAM_HOST%\t%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%";
    json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": attempts_log(dir),
            "log_format": { "text_format_source": { "inline_string": format!("{kind}\t{format}\n") } },
        },
    })
}

/// Parses the file; incomplete lines are left out.
pub(crate) fn parse_attempts(text: &str) -> Vec<Attempt> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Attempt> {
    let mut fields = line.splitn(5, '\t');
    let kind = match fields.next()? {
        "attempt" => Kind::Attempt,
        "request" => Kind::Request,
        _ => return None,
    };
    let started = fields.next()?.parse().ok()?;
    let lasted: i64 = fields.next()?.parse().unwrap_or(0);
    let endpoint = fields.next()?.to_owned();
    Some(Attempt { kind, started, ended: started + lasted, endpoint, text: fields.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_half_a_line_is_not() {
        let lines = parse_attempts("attempt\t1000\t7\t127.0.1.1:80\t503 UF -\nrequest\t1000\t-\t-\t503 UH x\nattem");
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].kind, lines[0].ended, lines[0].endpoint.as_str()), (Kind::Attempt, 1_007, "127.0.1.1:80"));
        assert_eq!((lines[1].ended, lines[1].text.as_str()), (1_000, "503 UH x"));
    }
}
