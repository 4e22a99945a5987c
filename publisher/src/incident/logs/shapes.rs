//! What stands before the message on a line of text: who wrote it and when, by the forms of the usual tools.

use std::borrow::Cow;

use filter_core::time::Millis;

use super::event::parse_time;
use super::labels::{self, Labels};

/// As many words before a message are looked at.
const MOST_WORDS: usize = 8;

/// What stands between the time and the message, too.
const LEVELS: [&str; 8] = ["trace", "debug", "info", "warn", "warning", "error", "critical", "fatal"];

/// What a line begins with.
#[derive(Clone, Debug, Default)]
pub(super) struct Head<'a> {
    /// When it was written, where it tells in a time with a zone.
    pub(super) at: Option<Millis>,
    /// The words that name the writer; empty where none do.
    pub(super) writer: Writer<'a>,
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Writer<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
    /// The machine, where syslog or the journal wrote the line.
    pub(super) host: &'a str,
}

/// A form of a line's beginning: the words before the message, or before its time.
type Shape = for<'a> fn(&[&'a str]) -> Option<Writer<'a>>;

/// The forms that tell who wrote a line, by whose they are.
const SHAPES: [(&str, Shape); 7] = [
    ("kubectl logs --prefix", kubectl),
    ("kail", kail),
    ("docker compose", compose),
    ("kubetail", kubetail),
    ("stern", stern),
    ("the journal", journal),
    ("kubectl with three columns", columns),
];

/// Reads the beginning of a line.
pub(super) fn head(line: &str) -> Head<'_> {
    let (line, is_syslog) = after_priority(line);
    let mut at = None;
    let mut before: Vec<&str> = Vec::with_capacity(MOST_WORDS);
    let mut message_follows = false;
    let mut after_time = 0;
    for word in line.split_ascii_whitespace().take(MOST_WORDS) {
        if at.is_none() && word.starts_with("20") && word.len() > 18 {
            at = parse_time(word);
            if at.is_some() {
                message_follows = true;
                after_time = before.len();
                continue;
            }
        }
        if word.starts_with('{') || word.starts_with("[20") || word.starts_with("20") && word.len() > 7 {
            message_follows = true;
            break;
        }
        if at.is_some() && before.len() >= after_time + 2 {
            break;
        }
        before.push(word);
    }
    message_follows |= line.split_ascii_whitespace().nth(before.len()).is_some();
    let named = before.get(..after_time).filter(|_| at.is_some()).unwrap_or(&before);
    let mut writer = message_follows.then(|| SHAPES.iter().find_map(|(_, shape)| shape(named))).flatten();
    if writer.is_none() && at.is_some() {
        let behind = before.get(after_time..);
        writer = behind.and_then(|words| if is_syslog { of_application(words) } else { after_the_time(words) });
    }
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

fn of<'a>(namespace: &'a str, pod: &'a str, container: &'a str) -> Option<Writer<'a>> {
    let good = is_name(pod) && [namespace, container].iter().all(|name| name.is_empty() || is_name(name));
    good.then_some(Writer { namespace, pod, container, host: "" })
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

/// `NAMESPACE POD CONTAINER`
fn columns<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let ([namespace, pod, container] | [namespace, pod, "›", container]) = words else { return None };
    of(namespace, pod, container)
}

/// `Nov 20 15:43:09 HOST PROGRAM[1]:`
fn journal<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let at = words.iter().position(|word| is_time_of_day(word))?;
    let ([_, _] | [_]) = words.get(..at)? else { return None };
    after_the_time(words.get(at + 1..)?)
}

/// `HOST PROGRAM[1]:`, or `PROGRAM[1]:` where the machine is not named
fn after_the_time<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let name = |word: &'a str| word.split_once('[').map_or(word, |(name, _)| name);
    if let [program, ..] = words
        && program.ends_with("]:")
    {
        return written_by("", name(program));
    }
    let [host, program, ..] = words else { return None };
    written_by(host, name(program.strip_suffix(':')?))
}

/// `HOST APPLICATION` of RFC 5424
fn of_application<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let [host, application, ..] = words else { return None };
    let told = |word: &'a str| if word == "-" { "" } else { word };
    written_by(told(host), told(application))
}

/// What a machine's program wrote. Where a pod stands for the program, it is the pod's: forwarders write the container
/// or the pod there, and the machine or the pod as the machine.
fn written_by<'a>(host: &'a str, program: &'a str) -> Option<Writer<'a>> {
    if let Some((namespace, pod, container)) = labels::of_path(program) {
        return of(namespace, pod, container);
    }
    let (before, program) = program.rsplit_once('/').unwrap_or(("", program));
    let good = [host, before, program].iter().all(|name| name.is_empty() || is_host(name));
    if good && likeness(program) > likeness(host) {
        return Some(Writer { namespace: before, pod: program, ..Writer::default() });
    }
    // One program runs on many machines: its name alone tells less than the file's.
    let is_level = LEVELS.iter().any(|level| host.eq_ignore_ascii_case(level));
    (good && !host.is_empty() && !is_level).then_some(Writer { host, container: program, ..Writer::default() })
}

/// How much a name looks like that of a pod which a Deployment made, `x-7d9c6b5f4-8xkqz`, or a StatefulSet, `x-0`.
fn likeness(name: &str) -> u8 {
    let Some((rest, last)) = name.rsplit_once('-') else { return 0 };
    // Kubernetes leaves out vowels, and what looks like another letter.
    let is_random = |part: &str| part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    let is_number = !last.is_empty() && last.len() <= 4 && last.bytes().all(|b| b.is_ascii_digit());
    let hashed = rest.rsplit_once('-').is_some_and(|(_, hash)| (6..=10).contains(&hash.len()) && is_random(hash));
    if last.len() == 5 && is_random(last) && hashed { 2 } else { u8::from(is_number) }
}

/// A line without syslog's priority, and whether what follows is as RFC 5424 has it: `<14>1 `, with the message's length
/// before it where lines come as TCP carries them.
fn after_priority(line: &str) -> (&str, bool) {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let framed = line.get(digits..).and_then(|rest| rest.strip_prefix(' ')).filter(|_| digits > 0);
    let framed = framed.filter(|rest| rest.starts_with('<')).unwrap_or(line);
    let Some((priority, rest)) = framed.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
        return (line, false);
    };
    if priority.is_empty() || priority.len() > 3 || !priority.bytes().all(|b| b.is_ascii_digit()) {
        return (line, false);
    }
    rest.strip_prefix("1 ").map_or((rest, false), |rest| (rest, true))
}

fn is_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:@".contains(&b);
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(plain)
        && name.contains(|c: char| c.is_ascii_alphanumeric())
}

fn is_time_of_day(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 8
        && bytes.get(2) == Some(&b':')
        && bytes.get(5) == Some(&b':')
        && bytes.iter().all(|b| b.is_ascii_digit() || b":.,".contains(b))
}

impl Writer<'_> {
    pub(super) fn labels(&self) -> Labels {
        let mut labels = Labels {
            namespace: self.namespace.to_owned(),
            pod: self.pod.to_owned(),
            container: self.container.to_owned(),
            ..Labels::default()
        };
        if !self.host.is_empty() {
            labels.offer_host(self.host);
        }
        labels
    }

    pub(super) fn is_known(&self) -> bool {
        !self.pod.is_empty() || !self.host.is_empty()
    }
}

/// A name as Kubernetes and Docker allow it.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(plain)
}

/// The line without the terminal's colours, which stern writes when asked to.
pub(super) fn without_colours(line: &str) -> Cow<'_, str> {
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
            ("<14>Nov 20 15:43:30 10.0.0.1 shop/mocka-0: x", "shop/mocka-0//"),
            ("<14>Nov 20 15:43:30 envoy[12]: x", "///"),
            ("Nov 20 15:43:30 node-1 k8s_istio-proxy_mocka-1_shop_0f3c_0[7]: x", "shop/mocka-1/istio-proxy/"),
            ("2026-11-20T15:43:30.405813Z\twarning\tenvoy wasm external/envoy/x.cc:1198\twasm log: x", "///"),
            ("2026-11-20T15:43:30.405813001Z stderr F [2026-11-20 15:43:30.405] x", "///"),
            ("starting now", "///"),
        ] {
            let Writer { namespace, pod, container, host } = head(line).writer;
            assert_eq!(format!("{namespace}/{pod}/{container}/{host}"), wanted, "{line}");
        }
    }
}
