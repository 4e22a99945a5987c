//! Lines of several files in one text, as `tail *.log`, `grep -r` and `kubectl cluster-info dump` give them: what tells
//! which file a line is from, or whose it is.

use std::sync::LazyLock;

use memchr::memmem;

use super::labels::Labels;
use super::writer::{is_name, likeness};

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

/// The header that a line is: `==> FILE <==` of tail and head,
/// `==== START logs for container CONTAINER of pod NAMESPACE/POD ====` of `kubectl cluster-info dump`, and a file's or
/// a pod's name alone, with signs around it or not, as `more`, `rg --heading` and loops in a shell write it. A file's
/// name without signs is one only at a beginning: `is_fresh` is whether nothing or an empty line comes before.
pub(super) fn header(line: &str, is_fresh: bool) -> Option<Header<'_>> {
    let line = line.trim();
    if line.is_empty() || line.len() > 4096 {
        return None;
    }
    if let Some(path) = line.strip_prefix("==> ").and_then(|rest| rest.strip_suffix(" <==")) {
        let is_stdin = path.is_empty() || path == "standard input";
        return Some(if is_stdin { Header::End } else { Header::File(path) });
    }
    let Some(told) = line.strip_prefix("==== ").and_then(|rest| rest.strip_suffix(" ====")) else {
        return alone(line, is_fresh);
    };
    if told.starts_with("END logs for container ") {
        return Some(Header::End);
    }
    let Some((container, pod)) =
        told.strip_prefix("START logs for container ").and_then(|rest| rest.split_once(" of pod "))
    else {
        return alone(line, is_fresh);
    };
    let (namespace, pod) = pod.split_once('/')?;
    let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
    Some(Header::Container(Labels { namespace, pod, container, ..Labels::default() }))
}

/// A file's name or a pod's alone on a line.
fn alone(line: &str, is_fresh: bool) -> Option<Header<'_>> {
    let is_sign = |c: char| "#=-*:<>─│┌├ ".contains(c);
    let word = line.trim_matches(is_sign);
    let word = word.strip_prefix("File: ").unwrap_or(word);
    let is_decorated = word.len() < line.len();
    if !is_path(word) {
        return None;
    }
    if is_log(word) && (is_decorated || is_fresh) {
        return Some(Header::File(word));
    }
    let (is_said, rest) = word.strip_prefix("pod/").map_or((false, word), |pod| (true, pod));
    let (namespace, pod) = rest.split_once('/').unwrap_or(("", rest));
    let alike = likeness(pod) > u8::from(!is_decorated || namespace.is_empty());
    let is_pod = is_name(pod) && (namespace.is_empty() || is_name(namespace)) && (is_said || alike);
    let labels = || Labels { namespace: namespace.to_owned(), pod: pod.to_owned(), ..Labels::default() };
    is_pod.then(|| Header::Container(labels()))
}

/// The file that grep puts before a line, and the line: `FILE:LINE`, `FILE:12:LINE`, and with a hyphen for the lines
/// around a match. The file is empty where it is one, and its lines are numbered: `12:LINE`.
pub(super) fn prefixed(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(|c: char| c.is_ascii_digit()) {
        let message =
            [':', '-'].into_iter().map(|sign| after_number(line, sign)).find(|message| message.len() < line.len());
        return message.filter(|message| begins(message) && !begins(line)).map(|message| ("", message));
    }
    let drive = if line.as_bytes().get(1..3) == Some(b":\\") { 2 } else { 0 };
    let at = drive + line.get(drive..)?.find(':')?;
    let (path, rest) = (line.get(..at)?, line.get(at + 1..)?);
    if is_path(path) {
        let message = after_number(rest, ':');
        if is_log(path) && !rest.is_empty() || looks_named(path) && begins(message) {
            return Some((path, message));
        }
    }
    // A path with spaces is told from what it ends with. What it begins with is looked at first: nearly all lines of a
    // log begin with a bracket.
    if !path.contains(['"', '{', '[', '=']) && begins(after_number(rest, ':')) && is_log(path) {
        return Some((path, after_number(rest, ':')));
    }
    static NEAR: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(".log-"));
    let end = NEAR.find(line.as_bytes())? + ".log".len();
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
        assert_eq!(header("==> logs/mocka-1.log <==", false), Some(Header::File("logs/mocka-1.log")));
        assert_eq!(header("==> standard input <==", false), Some(Header::End));
        let Some(Header::Container(labels)) =
            header("==== START logs for container istio-proxy of pod shop/mocka-1 ====", false)
        else {
            panic!("it is a header")
        };
        assert_eq!([labels.namespace, labels.pod, labels.container], ["shop", "mocka-1", "istio-proxy"]);
        assert_eq!(
            header("==== END logs for container istio-proxy of pod shop/mocka-1 ====", false),
            Some(Header::End)
        );
        for (line, wanted) in [
            ("==== a/mocka-1.log ====", Some("a/mocka-1.log")),
            ("File: mocka-1.log.1", Some("mocka-1.log.1")),
            ("### pod/shop/mocka-1", Some("mocka-1")),
            ("--- shop/mocka-1 ---", Some("mocka-1")),
            ("mocka-7d9c6b5f4-8xkqz", Some("mocka-7d9c6b5f4-8xkqz")),
            ("==== step-1 ====", None),
            ("==== nothing ====", None),
            ("2026-11-20", None),
            ("mocka-1.log", None),
            ("::::::::::::::", None),
            ("", None),
        ] {
            let told = match header(line, false) {
                Some(Header::File(path)) => Some(path.to_owned()),
                Some(Header::Container(labels)) => Some(labels.pod),
                _ => None,
            };
            assert_eq!(told.as_deref(), wanted, "{line}");
        }
        assert_eq!(header("mocka-1.log", true), Some(Header::File("mocka-1.log")));
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
            ("my logs/a.log:2026-11-20T15:43:30Z x", Some(("my logs/a.log", "2026-11-20T15:43:30Z x"))),
            ("12:2026-11-20T15:43:30Z x", Some(("", "2026-11-20T15:43:30Z x"))),
            ("12-{\"a\":1}", Some(("", "{\"a\":1}"))),
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
