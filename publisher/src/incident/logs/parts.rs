//! Lines of several files in one text, as `tail *.log`, `grep -r` and `kubectl cluster-info dump` give them: what tells
//! which file a line is from, or whose it is.

use std::sync::LazyLock;

use memchr::memmem;

use super::cells::{is_name, likeness};
use super::labels::Labels;
use super::writer::{Writer, is_host};

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

/// What the line before a header is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Before {
    /// There is none, or it is empty or has signs alone.
    #[default]
    Nothing,
    /// Nothing but hyphens, as `dshbak` and `clush -b` draw it above and below a machine's name.
    Rule,
    /// It says something.
    Text,
}

impl Before {
    /// What a line is to the next one.
    pub(super) fn of(line: &str) -> Self {
        let line = line.trim();
        match line.chars().all(|c| !c.is_alphanumeric()) {
            true if line.len() > 7 && line.bytes().all(|byte| byte == b'-') => Self::Rule,
            true => Self::Nothing,
            false => Self::Text,
        }
    }
}

/// The header that a line is: `==> FILE <==` of tail and head,
/// `==== START logs for container CONTAINER of pod NAMESPACE/POD ====` of `kubectl cluster-info dump`, and a file's or
/// a pod's name alone, with signs around it or not, as `more`, `rg --heading` and loops in a shell write it; a
/// machine's name, as what runs one command on many of them does. A file's name without signs is one only at a
/// beginning.
pub(super) fn header(line: &str, before: Before) -> Option<Header<'_>> {
    let line = line.trim();
    if line.is_empty() || line.len() > 4096 {
        return None;
    }
    if let Some(path) = line.strip_prefix("==> ").and_then(|rest| rest.strip_suffix(" <==")) {
        let is_stdin = path.is_empty() || path == "standard input";
        return Some(if is_stdin { Header::End } else { Header::File(path) });
    }
    let Some(told) = line.strip_prefix("==== ").and_then(|rest| rest.strip_suffix(" ====")) else {
        return machine(line, before).or_else(|| alone(line, before != Before::Text));
    };
    if told.starts_with("END logs for container ") {
        return Some(Header::End);
    }
    let Some((container, pod)) =
        told.strip_prefix("START logs for container ").and_then(|rest| rest.split_once(" of pod "))
    else {
        return alone(line, before != Before::Text);
    };
    let (namespace, pod) = pod.split_once('/')?;
    let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
    Some(Header::Container(Labels { namespace, pod, container, ..Labels::default() }))
}

/// The machine whose lines follow: `HOST | CHANGED | rc=0 >>` of Ansible, `[1] 15:43:09 [SUCCESS] HOST` of pssh,
/// `HOST:` of Salt, and a name below a rule.
fn machine(line: &str, before: Before) -> Option<Header<'static>> {
    let name = if let Some(told) = line.strip_suffix(" >>") {
        let (host, told) = told.split_once(" | ")?;
        let (state, result) = told.split_once(" | ")?;
        Some(host).filter(|_| ["CHANGED", "SUCCESS", "FAILED"].contains(&state) && result.starts_with("rc="))?
    } else if let Some(numbered) = line.strip_prefix('[') {
        let (number, told) = numbered.split_at_checked(numbered.find("] ").filter(|at| *at < 7)?)?;
        let (_, told) = told.strip_prefix("] ")?.split_once(" [")?;
        let host = told.strip_prefix("SUCCESS] ").or_else(|| told.strip_prefix("FAILURE] "))?;
        Some(host).filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?
    } else if line.contains(' ') {
        return None;
    } else if before == Before::Rule {
        line
    } else {
        line.strip_suffix(':').filter(|name| is_machine(name))?
    };
    // Of a pod's name, and of a file's, more is known.
    (is_host(name) && likeness(name) < 2 && !is_log(name))
        .then(|| Header::Container(Writer { host: name, ..Writer::default() }.labels()))
}

/// Whether a word is more likely a machine's name than a level's or a program's: it has a number.
pub(super) fn is_machine(name: &str) -> bool {
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let has = |is: fn(&char) -> bool| name.chars().any(|c| is(&c));
    is_host(name) && !name.contains(':') && has(char::is_ascii_digit) && (has(char::is_ascii_alphabetic) || is_address)
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
pub(super) fn begins(message: &str) -> bool {
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
        assert_eq!(header("==> logs/mocka-1.log <==", Before::Text), Some(Header::File("logs/mocka-1.log")));
        assert_eq!(header("==> standard input <==", Before::Text), Some(Header::End));
        let Some(Header::Container(labels)) =
            header("==== START logs for container istio-proxy of pod shop/mocka-1 ====", Before::Text)
        else {
            panic!("it is a header")
        };
        assert_eq!([labels.namespace, labels.pod, labels.container], ["shop", "mocka-1", "istio-proxy"]);
        assert_eq!(
            header("==== END logs for container istio-proxy of pod shop/mocka-1 ====", Before::Text),
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
            let told = match header(line, Before::Text) {
                Some(Header::File(path)) => Some(path.to_owned()),
                Some(Header::Container(labels)) => Some(labels.pod),
                _ => None,
            };
            assert_eq!(told.as_deref(), wanted, "{line}");
        }
        assert_eq!(header("mocka-1.log", Before::Nothing), Some(Header::File("mocka-1.log")));
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
