//! Lines of several files in one text, as `tail *.log`, `grep -r` and `kubectl cluster-info dump` give them: what tells
//! which file a line is from, or whose it is.

use super::labels::Labels;

/// What names of logs end with, before what rotation adds.
const EXTENSIONS: [&str; 6] = [".log", ".txt", ".json", ".jsonl", ".ndjson", ".out"];

/// A line that says whose the following lines are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Header<'a> {
    /// A file's, by its path.
    File(&'a str),
    /// A container's.
    Container(Labels),
    /// Nobody's that is known.
    End,
}

/// The header that a line is: `==> FILE <==` of tail and head, and
/// `==== START logs for container CONTAINER of pod NAMESPACE/POD ====` of `kubectl cluster-info dump`.
pub(super) fn header(line: &str) -> Option<Header<'_>> {
    let line = line.trim();
    if let Some(path) = line.strip_prefix("==> ").and_then(|rest| rest.strip_suffix(" <==")) {
        let is_stdin = path.is_empty() || path == "standard input";
        return Some(if is_stdin { Header::End } else { Header::File(path) });
    }
    let told = line.strip_prefix("==== ")?.strip_suffix(" ====")?;
    if told.starts_with("END logs for container ") {
        return Some(Header::End);
    }
    let (container, pod) = told.strip_prefix("START logs for container ")?.split_once(" of pod ")?;
    let (namespace, pod) = pod.split_once('/')?;
    let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
    Some(Header::Container(Labels { namespace, pod, container, ..Labels::default() }))
}

/// The file that grep puts before a line, and the line: `FILE:LINE`, `FILE:12:LINE`, and with a hyphen for the lines
/// around a match.
pub(super) fn prefixed(line: &str) -> Option<(&str, &str)> {
    let drive = if line.as_bytes().get(1..3) == Some(b":\\") { 2 } else { 0 };
    let at = drive + line.get(drive..)?.find(':')?;
    let (path, rest) = (line.get(..at)?, line.get(at + 1..)?);
    if is_path(path) {
        let message = after_number(rest, ':');
        if is_log(path) && !rest.is_empty() || looks_named(path) && begins(message) {
            return Some((path, message));
        }
    }
    let end = line.find(".log-")? + ".log".len();
    let (path, rest) = (line.get(..end)?, line.get(end + 1..)?);
    let message = after_number(rest, '-');
    (is_path(path) && begins(message)).then_some((path, message))
}

/// What follows a line's number.
fn after_number(rest: &str, sign: char) -> &str {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = rest.get(digits..).and_then(|behind| behind.strip_prefix(sign)).filter(|_| digits > 0);
    numbered.filter(|message| begins(message) || sign == ':' && !begins(rest)).unwrap_or(rest)
}

/// Whether a line of a log begins so: with a brace, a bracket and a time or a pod, a time, or syslog's priority.
fn begins(message: &str) -> bool {
    let is_digit = |at: usize| message.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    message.starts_with("{\"")
        || message.starts_with("[20")
        || message.starts_with("[pod/")
        || message.starts_with('<') && is_digit(1)
        || message.starts_with("20") && is_digit(3) && message.as_bytes().get(4) == Some(&b'-')
}

fn is_path(path: &str) -> bool {
    !path.is_empty() && path.len() < 4096 && !path.contains(|c: char| c.is_whitespace() || "\"'{}[]<>|=,;".contains(c))
}

/// Whether a word is more likely a file's name than a level's.
fn looks_named(path: &str) -> bool {
    path.contains(['/', '.', '-', '\\']) || path.contains(|c: char| c.is_ascii_digit())
}

/// Whether it is called as logs are, rotated or not.
fn is_log(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    EXTENSIONS.iter().any(|extension| {
        name.rsplit_once(extension).is_some_and(|(stem, added)| {
            let rotated = added.starts_with(['.', '-']) && added.len() < 24;
            !stem.is_empty()
                && (added.is_empty() || rotated && added.chars().all(|c| c.is_ascii_digit() || ".-gzst".contains(c)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_whose_the_following_lines_are() {
        assert_eq!(header("==> logs/mocka-1.log <=="), Some(Header::File("logs/mocka-1.log")));
        assert_eq!(header("==> standard input <=="), Some(Header::End));
        let Some(Header::Container(labels)) =
            header("==== START logs for container istio-proxy of pod shop/mocka-1 ====")
        else {
            panic!("it is a header")
        };
        assert_eq!([labels.namespace, labels.pod, labels.container], ["shop", "mocka-1", "istio-proxy"]);
        assert_eq!(header("==== END logs for container istio-proxy of pod shop/mocka-1 ===="), Some(Header::End));
        assert_eq!(header("==== nothing ===="), None);
    }

    #[test]
    fn the_file_before_a_line_is_told_from_what_lines_begin_with() {
        for (line, wanted) in [
            ("logs/a-1.log:[2026-11-20 15:43:30.405][7] x", Some(("logs/a-1.log", "[2026-11-20 15:43:30.405][7] x"))),
            ("a.log.1:12:2026-11-20T15:43:30Z x", Some(("a.log.1", "2026-11-20T15:43:30Z x"))),
            ("a.log-20261120:{\"a\":1}", Some(("a.log-20261120", "{\"a\":1}"))),
            ("a.log-12-2026-11-20T15:43:30Z x", Some(("a.log", "2026-11-20T15:43:30Z x"))),
            ("a.log-2026-11-20T15:43:30Z x", Some(("a.log", "2026-11-20T15:43:30Z x"))),
            ("C:\\logs\\a.log:2026-11-20T15:43:30Z x", Some(("C:\\logs\\a.log", "2026-11-20T15:43:30Z x"))),
            ("logs/mocka-1:[pod/x/y] z", Some(("logs/mocka-1", "[pod/x/y] z"))),
            ("2026-11-20T15:43:30Z x", None),
            ("[2026-11-20 15:43:30.405][7] x", None),
            ("WARN:{\"a\":1}", None),
            ("Nov 20 15:43:30 node envoy[1]: x", None),
            ("shop/mocka[c]: 2026-11-20T15:43:30Z x", None),
            ("{\"a.log\":{\"b\":1}}", None),
            ("12:30:45 x", None),
        ] {
            assert_eq!(prefixed(line), wanted, "{line}");
        }
    }
}
