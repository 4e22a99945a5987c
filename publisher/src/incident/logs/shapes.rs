//! What stands before the message on a line of text: who wrote it and when, by the forms of the usual tools.

use std::borrow::Cow;

use filter_core::time::Millis;

use super::cells::likeness;
use super::event::parse_time;
use super::writer::{Writer, of};
use super::{labels, parts, syslog};

/// As many words before a message are looked at.
const MOST_WORDS: usize = 8;

/// What a line begins with.
#[derive(Clone, Debug, Default)]
pub(super) struct Head<'a> {
    /// When it was written, where it tells in a time with a zone.
    pub(super) at: Option<Millis>,
    /// The words that name the writer; empty where none do.
    pub(super) writer: Writer<'a>,
}

/// A form of a line's beginning: the words before the message, or before its time.
type Shape = for<'a> fn(&[&'a str]) -> Option<Writer<'a>>;

/// The forms that tell who wrote a line, by whose they are.
const SHAPES: [(&str, Shape); 8] = [
    ("kubectl logs --prefix", kubectl),
    ("kail", kail),
    ("docker compose", compose),
    ("kubetail", kubetail),
    ("stern", stern),
    ("the journal", syslog::journal),
    ("kubectl with three columns", columns),
    ("k9s, and templates for stern", joined),
];

/// Reads the beginning of a line.
pub(super) fn head(line: &str) -> Head<'_> {
    let (line, is_syslog) = syslog::after_priority(line);
    let mut at = None;
    let (mut words, mut count) = ([""; MOST_WORDS], 0);
    let mut message_follows = false;
    let mut after_time = 0;
    for word in line.split_ascii_whitespace().take(MOST_WORDS) {
        if at.is_none() && word.starts_with("20") && word.len() > 18 {
            at = parse_time(word);
            if at.is_some() {
                message_follows = true;
                after_time = count;
                continue;
            }
        }
        if word.starts_with('{') || word.starts_with("[20") || word.starts_with("20") && word.len() > 7 {
            message_follows = true;
            break;
        }
        if at.is_some() && count >= after_time + 2 {
            break;
        }
        if let Some(place) = words.get_mut(count) {
            *place = word;
            count += 1;
        }
    }
    let before = words.get(..count).unwrap_or_default();
    message_follows |= line.split_ascii_whitespace().nth(before.len()).is_some();
    let named = before.get(..after_time).filter(|_| at.is_some()).unwrap_or(before);
    let mut writer = message_follows.then(|| SHAPES.iter().find_map(|(_, shape)| shape(named))).flatten();
    if writer.is_none() && at.is_some() {
        let behind = before.get(after_time..);
        let of = if is_syslog { syslog::of_application } else { syslog::after_the_time };
        writer = behind.and_then(of);
    }
    let writer = writer
        .or_else(|| bar(line))
        .or_else(|| path(before))
        .or_else(|| syslog::by_process(line))
        .or_else(|| tagged(line));
    Head { at, writer: writer.unwrap_or_default() }
}

/// A line as the kubelet writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cri<'a> {
    /// Without what stands before it.
    pub(super) message: &'a str,
    /// Whether it is of stderr: the lines of the two streams come between each other's parts.
    pub(super) is_stderr: bool,
    /// Whether the line goes on in the next of its stream.
    pub(super) goes_on: bool,
}

/// A line of the kubelet's: its time, the stream, whether the line goes on, the message.
pub(super) fn cri(line: &str) -> Option<Cri<'_>> {
    let mut words = line.splitn(4, ' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(time), Some(stream @ ("stdout" | "stderr")), Some(tag @ ("F" | "P")), Some(message))
            if time.starts_with("20") =>
        {
            Some(Cri { message, is_stderr: stream == "stderr", goes_on: tag == "P" })
        }
        _ => None,
    }
}

/// `pod/x` or `ns/x`.
fn pod_of(text: &str) -> (&str, &str) {
    match text.rsplit_once('/') {
        Some(("pod" | "pods", pod)) => ("", pod),
        Some((namespace, pod)) => (namespace, pod),
        None => ("", text),
    }
}

/// `[pod/POD/CONTAINER]`
fn kubectl<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let [one] = words else { return None };
    let (pod, container) = one.strip_prefix("[pod/")?.strip_suffix(']')?.split_once('/')?;
    of("", pod, container)
}

/// `NAMESPACE/POD[CONTAINER]:`
fn kail<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let [one] = words else { return None };
    let (pod, container) = one.strip_suffix("]:")?.split_once('[')?;
    let (namespace, pod) = pod_of(pod);
    of(namespace, pod, container)
}

/// `SERVICE |`, or `SERVICE|`
fn compose<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    match words {
        [service, "|"] => of("", service, ""),
        [service] => of("", service.strip_suffix('|')?, ""),
        _ => None,
    }
}

/// `[POD CONTAINER]`, `[POD]`, `[NAMESPACE/POD/CONTAINER]`, with or without a colon
fn kubetail<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let close = |word: &'a str| word.strip_suffix(':').unwrap_or(word).strip_suffix(']');
    match words {
        [pod, container] => of("", pod.strip_prefix('[')?, close(container)?),
        [one] => match close(one.strip_prefix('[')?)?.split('/').collect::<Vec<_>>()[..] {
            [namespace, pod, container] => of(namespace, pod, container),
            [namespace, pod] => of(namespace, pod, ""),
            [pod] if pod.contains('-') => of("", pod, ""),
            _ => None,
        },
        _ => None,
    }
}

/// `POD CONTAINER`, or with `›` between
fn stern<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let ([pod, container] | [pod, "›", container]) = words else { return None };
    of(pod_of(pod).0, pod_of(pod).1, container)
}

/// `POD:CONTAINER`, `NAMESPACE/POD:CONTAINER`, `POD/CONTAINER:`, `NAMESPACE/POD/CONTAINER`, `[POD] [CONTAINER]`, where
/// the pod's name looks like one: a level or a module may stand there, too.
fn joined<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let parts: Vec<&str> = match words {
        [one] => one.strip_suffix(':').unwrap_or(one).split(['/', ':']).collect(),
        [pod, container] => {
            let inner = |word: &'a str| word.strip_suffix(':').unwrap_or(word).strip_prefix('[')?.strip_suffix(']');
            vec![inner(pod)?, inner(container)?]
        }
        _ => return None,
    };
    let writer = match parts[..] {
        [pod, container] => of("", pod, container),
        [namespace, pod, container] => of(namespace, pod, container),
        _ => None,
    };
    writer.filter(|writer| likeness(writer.pod) > 0)
}

/// `SERVICE |` with nothing between the bar and the message, as nerdctl writes it; `SERVICE.1.ID@NODE |`, as Swarm
/// does.
fn bar(line: &str) -> Option<Writer<'_>> {
    let (name, message) = line.split_once('|')?;
    let name = name.strip_suffix(' ').unwrap_or(name).trim_end();
    let task = name.split_once('@').map_or(name, |(task, _)| task);
    message.trim_start().starts_with(['[', '{', '2']).then(|| of("", task, "")).flatten()
}

/// `HOST: `, or `HOST` and a tab, as clush, pdsh and GNU parallel put a machine's name before each of its lines.
fn tagged(line: &str) -> Option<Writer<'_>> {
    let (name, rest) = line.split_at_checked(line.find([':', '\t'])?)?;
    let message = rest.strip_prefix(": ").or_else(|| rest.strip_prefix('\t'))?;
    if !parts::is_machine(name) || !parts::begins(message) {
        return None;
    }
    of("", name, "").filter(|_| likeness(name) > 1).or(Some(Writer { host: name, ..Writer::default() }))
}

/// The path of a kubelet's file, or what is made of its name, among the words before a message: the tag of Fluentd, the
/// stream of CloudWatch.
fn path<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let (namespace, pod, container) = words.iter().find_map(|word| labels::of_path(word))?;
    of(namespace, pod, container)
}

/// `NAMESPACE POD CONTAINER`
fn columns<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let ([namespace, pod, container] | [namespace, pod, "›", container]) = words else { return None };
    of(namespace, pod, container)
}

/// The line as it was written: without colours, the sign of a quotation or a difference before it, the escapes of
/// Markdown's tables, and the blanks of web pages.
pub(super) fn plain(line: &str) -> Cow<'_, str> {
    let mut plain = without_colours(line);
    let unquoted = unquoted(&plain);
    if unquoted.len() < plain.len() {
        plain = Cow::Owned(unquoted.to_owned());
    }
    if plain.starts_with('|') && plain.contains("\\|") {
        plain = Cow::Owned(plain.replace("\\|", "|"));
    }
    if plain.contains('\u{a0}') {
        plain = Cow::Owned(plain.replace('\u{a0}', " "));
    }
    plain
}

/// A line without `> ` of mail and Markdown, or `+` of a difference, before it.
fn unquoted(line: &str) -> &str {
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix('>') {
        rest = inner.strip_prefix(' ').unwrap_or(inner);
    }
    line.strip_prefix('+').filter(|inner| parts::begins(inner)).unwrap_or(rest)
}

/// The line without the terminal's colours, which stern writes when asked to.
fn without_colours(line: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\x1b', line.as_bytes()).is_none() {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            // A sequence ends with its first letter.
            let _ = characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_is_known_from_what_the_usual_tools_write() {
        for (line, wanted) in [
            ("[pod/mocka-7d9-x2/istio-proxy] 2026-11-20T15:43:30.4Z x", "/mocka-7d9-x2/istio-proxy/"),
            ("[pod/mocka-7d9-x2/istio-proxy] [2026-11-20 15:43:30.405][7] x", "/mocka-7d9-x2/istio-proxy/"),
            ("mocka-7d9-x2 istio-proxy 2026-11-20T15:43:30.405813Z x", "/mocka-7d9-x2/istio-proxy/"),
            ("mocka-7d9-x2 › istio-proxy 2026-11-20T15:43:30.405813Z x", "/mocka-7d9-x2/istio-proxy/"),
            ("shop mocka-7d9-x2 istio-proxy {", "shop/mocka-7d9-x2/istio-proxy/"),
            ("shop/mocka-7d9-x2[istio-proxy]: 2026-11-20T15:43:30Z x", "shop/mocka-7d9-x2/istio-proxy/"),
            ("[mocka-7d9-x2 istio-proxy] 2026-11-20T15:43:30Z x", "/mocka-7d9-x2/istio-proxy/"),
            ("envoy-1  | [2026-11-20 15:43:30.405][7][warning] x", "/envoy-1//"),
            ("Nov 20 15:43:30 node-1 envoy[12]: [2026-11-20 15:43:30.405][7] x", "//envoy/node-1"),
            ("2026-11-20T15:43:30+0000 node-1 envoy[12]: [2026-11-20 15:43:30.405][7] x", "//envoy/node-1"),
            ("<14>1 2026-11-20T15:43:30.4Z node-1 envoy 12 - - [2026-11-20 15:43:30.405][7] x", "//envoy/node-1"),
            ("97 <14>1 2026-11-20T15:43:30.4Z node-1 mocka-7d9c6b5f4-8xkqz - - - x", "/mocka-7d9c6b5f4-8xkqz//"),
            (
                "<14>1 2026-11-20T15:43:30.4Z mocka-7d9c6b5f4-8xkqz istio-proxy - - - x",
                "//istio-proxy/mocka-7d9c6b5f4-8xkqz",
            ),
            ("<14>1 2026-11-20T15:43:30.4Z - mocka-0 - - - x", "/mocka-0//"),
            ("<14>Nov 20 15:43:30 Node-1 envoy[12]: x", "//envoy/Node-1"),
            ("<14>Nov 20 15:43:30 10.0.0.1 shop/mocka-0: one two three four", "shop/mocka-0//"),
            ("<14>Nov 20 15:43:30 envoy[12]: x", "///"),
            ("Nov 20 15:43:30 node-1 k8s_istio-proxy_mocka-1_shop_0f3c_0[7]: x", "shop/mocka-1/istio-proxy/"),
            ("2026-11-20T15:43:30.405813Z\twarning\tenvoy wasm external/envoy/x.cc:1198\twasm log: x", "///"),
            ("2026-11-20T15:43:30.405813001Z stderr F [2026-11-20 15:43:30.405] x", "///"),
            ("starting now", "///"),
            ("mocka-0:istio-proxy 2026-11-20T15:43:30Z x", "/mocka-0/istio-proxy/"),
            ("shop/mocka-0:istio-proxy 2026-11-20T15:43:30Z x", "shop/mocka-0/istio-proxy/"),
            ("mocka-0/istio-proxy: [2026-11-20 15:43:30.405][7] x", "/mocka-0/istio-proxy/"),
            ("[mocka-0] [istio-proxy] 2026-11-20T15:43:30Z x", "/mocka-0/istio-proxy/"),
            ("app:module 2026-11-20T15:43:30Z x", "///"),
            ("envoy-1 |2026-11-20T15:43:30Z x", "/envoy-1//"),
            ("mocka.1.x7@node-1    | 2026-11-20T15:43:30Z x", "/mocka.1.x7//"),
            ("Fri 2026-11-20 15:43:09 UTC node-1 envoy[12]: x", "//envoy/node-1"),
            ("1795189389.567000 node-1 envoy[12]: x", "//envoy/node-1"),
            ("[12345.678901] node-1 envoy[12]: x", "//envoy/node-1"),
            ("<14>Nov 20 2026 15:43:09 node-1 envoy[12]: x", "//envoy/node-1"),
            ("one two envoy[12]: x", "///"),
        ] {
            let Writer { namespace, pod, container, host, .. } = head(line).writer;
            assert_eq!(format!("{namespace}/{pod}/{container}/{host}"), wanted, "{line}");
        }
    }
}
