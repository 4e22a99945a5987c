//! One line of a log, in any form that people have logs in: who wrote it, when, and the event in it.
//!
//! What stands around an event differs: Envoy's prefix as text, Istio's JSON log with the event as an escaped string,
//! Docker's JSON around either, a shipper's record around all of that. So an event is searched for in whatever JSON the
//! line holds, in objects and in strings alike. Before the line, `kubectl logs --prefix`, stern, kail and Compose write
//! the pod.

use std::borrow::Cow;

use filter_core::time::Millis;
use serde_json::{Deserializer, Value};

use super::event::{Event, KEY, parse_time};

/// JSON within strings within JSON: deeper than any chain of shippers.
const MAX_DEPTH: u32 = 12;

/// Braces to try in one line before it is called foreign.
const MAX_BRACES: usize = 64;

/// Under which keys shippers name the pod, ours first. A path leads into objects.
const POD_KEYS: [&[&str]; 8] = [
    &["proxy"],
    &["podName"],
    &["pod_name"],
    &["pod"],
    &["POD"],
    &["kubernetes", "pod_name"],
    &["kubernetes", "pod", "name"],
    &["resource", "labels", "pod_name"],
];

/// Who wrote a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The pod, with `namespace/` before it where the line has it.
    pub(crate) pod: String,
    /// The container; empty where the line does not have it.
    pub(crate) container: String,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Nothing of ours.
    Foreign,
    /// The beginning of an event, and not the whole of one.
    Broken,
    /// An event.
    Event(Box<Event>),
}

/// A line that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Who wrote it, where the line tells.
    pub(crate) source: Option<Source>,
    /// When it was written, where the line tells in a time with a zone.
    pub(crate) at: Option<Millis>,
    /// What it holds.
    pub(crate) content: Content,
}

/// Looks at a line without its end.
pub(crate) fn read(line: &str) -> Line {
    let line = without_colours(line);
    let (mut source, at) = head(&line);
    let content = match event_in(&line) {
        Some((event, pod)) => {
            source = source.or_else(|| pod.map(|pod| Source { pod, container: String::new() }));
            Content::Event(Box::new(event))
        }
        None if line.contains(r#""faultline":""#) || line.contains(r#"\"faultline\":\""#) => Content::Broken,
        None => Content::Foreign,
    };
    Line { source, at, content }
}

/// The first event in the JSON of a line, and the pod that a shipper names beside it.
fn event_in(line: &str) -> Option<(Event, Option<String>)> {
    if !line.contains(KEY) {
        return None;
    }
    let mut rest = line;
    for _ in 0..MAX_BRACES {
        rest = rest.get(rest.find('{')?..)?;
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        let found = values.next().and_then(Result::ok);
        if let Some(value) = &found
            && let Some(event) = search(value, MAX_DEPTH)
        {
            let pod = POD_KEYS.iter().find_map(|path| path.iter().try_fold(value, |at, key| at.get(key))?.as_str());
            return Some((event, pod.map(str::to_owned)));
        }
        rest = rest.get(if found.is_some() { values.byte_offset() } else { 1 }..)?;
    }
    None
}

fn search(value: &Value, depth: u32) -> Option<Event> {
    let deeper = depth.checked_sub(1)?;
    match value {
        Value::Object(object) if object.contains_key(KEY) => Event::read(value),
        Value::Object(object) => object.values().find_map(|value| search(value, deeper)),
        Value::Array(array) => array.iter().find_map(|value| search(value, deeper)),
        Value::String(text) if text.contains(KEY) => {
            let start = text.find('{')?;
            let mut values = Deserializer::from_str(text.get(start..)?).into_iter::<Value>();
            search(&values.next()?.ok()?, deeper)
        }
        _ => None,
    }
}

/// What stands before the message: who wrote it, by the forms of the usual tools, and when.
fn head(line: &str) -> (Option<Source>, Option<Millis>) {
    let mut before = Vec::new();
    let mut at = None;
    for token in line.split_ascii_whitespace().take(5) {
        if let Some(time) = token.starts_with("20").then(|| parse_time(token)).flatten() {
            at = Some(time);
            break;
        }
        if token.starts_with('{') || token.starts_with("[20") || token.starts_with("20") {
            break;
        }
        before.push(token);
    }
    let message_follows = at.is_some() || before.len() < line.split_ascii_whitespace().take(5).count();
    (message_follows.then(|| source(&before)).flatten(), at)
}

fn source(tokens: &[&str]) -> Option<Source> {
    let of = |pod: &str, container: &str| {
        let good = is_name(pod.rsplit('/').next().unwrap_or(pod)) && (container.is_empty() || is_name(container));
        good.then(|| Source { pod: pod.to_owned(), container: container.to_owned() })
    };
    match tokens {
        // kubectl logs --prefix
        [one] if one.starts_with("[pod/") => {
            let (pod, container) = one.strip_prefix("[pod/")?.strip_suffix(']')?.split_once('/')?;
            of(pod, container)
        }
        // kail
        [one] if one.ends_with("]:") => {
            let (pod, container) = one.strip_suffix("]:")?.split_once('[')?;
            of(pod, container)
        }
        // Docker Compose
        [service, "|"] => of(service, ""),
        // stern, and what has columns POD and CONTAINER
        [pod, container] => of(pod, container),
        [namespace, pod, container] if is_name(namespace) => of(&format!("{namespace}/{pod}"), container),
        _ => None,
    }
}

/// A name as Kubernetes allows it.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    !text.is_empty()
        && text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain)
}

/// The line without the terminal's colours, which stern writes when asked to.
fn without_colours(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
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

    const EVENT: &str =
        r#"{"faultline":"no_healthy_upstream","v":1,"ts":"2026-11-20T15:43:30.405Z","cluster":"c","endpoints":4}"#;

    fn pod(line: &str) -> Option<String> {
        let line = read(line);
        assert!(matches!(line.content, Content::Event(_)), "{line:?}");
        line.source.map(|source| format!("{} {}", source.pod, source.container).trim().to_owned())
    }

    #[test]
    fn an_event_is_found_whatever_stands_around_it() {
        let envoy = format!("[2026-11-20 15:43:30.405][7][warning][wasm] [source/x.cc:1] wasm log faultline: {EVENT}");
        let istio = format!(
            "2026-11-20T15:43:30.405813Z\twarning\tenvoy wasm external/envoy/x.cc:1198\twasm log default.faultline \
             faultline: {EVENT}\tthread=22"
        );
        let scope = "envoy wasm";
        let json =
            serde_json::json!({"level": "warn", "time": "2026-11-20T15:43:30.405Z", "scope": scope, "msg": istio});
        let json = json.to_string();
        let docker = serde_json::json!({"log": format!("{json}\n"), "stream": "stderr"}).to_string();
        let cri = format!("2026-11-20T15:43:30.405813001Z stderr F {envoy}");
        let reordered =
            r#"{"cluster":"c","ts":"2026-11-20T15:43:30.405Z","faultline":"no_healthy_upstream"}"#.to_owned();
        for line in [EVENT.to_owned(), envoy, istio, json, docker, cri, reordered] {
            assert_eq!(pod(&line), None, "{line}");
        }
    }

    #[test]
    fn the_pod_is_known_from_what_the_usual_tools_write() {
        let istio = format!("2026-11-20T15:43:30.405813Z warning envoy wasm wasm log faultline: {EVENT}");
        let is = |line: String, wanted: &str| assert_eq!(pod(&line).as_deref(), Some(wanted), "{line}");
        is(format!("[pod/mocka-7d9-x2/istio-proxy] {istio}"), "mocka-7d9-x2 istio-proxy");
        is(format!("[pod/mocka-7d9-x2/istio-proxy] 2026-11-20T15:43:30.4Z {istio}"), "mocka-7d9-x2 istio-proxy");
        is(format!("mocka-7d9-x2 istio-proxy {istio}"), "mocka-7d9-x2 istio-proxy");
        is(
            format!("\u{1b}[36mmocka-7d9-x2\u{1b}[0m \u{1b}[1;36mistio-proxy\u{1b}[0m {istio}"),
            "mocka-7d9-x2 istio-proxy",
        );
        is(format!("shop mocka-7d9-x2 istio-proxy {EVENT}"), "shop/mocka-7d9-x2 istio-proxy");
        is(format!("shop/mocka-7d9-x2[istio-proxy]: {istio}"), "shop/mocka-7d9-x2 istio-proxy");
        is(format!("envoy-1  | [2026-11-20 15:43:30.405][7][warning] wasm log: {EVENT}"), "envoy-1");
        let stern = serde_json::json!({"message": istio, "podName": "mocka-7d9-x2", "containerName": "istio-proxy"});
        is(stern.to_string(), "mocka-7d9-x2");
        let shipped = serde_json::json!({"log": istio, "kubernetes": {"pod_name": "mocka-7d9-x2"}});
        is(shipped.to_string(), "mocka-7d9-x2");
    }

    #[test]
    fn foreign_and_cut_lines_are_told_apart() {
        let content = |line: &str| read(line).content;
        assert_eq!(content("2026-11-20T15:43:30Z info Envoy proxy is ready"), Content::Foreign);
        assert_eq!(content("wasm log faultline: the witness answers again {}"), Content::Foreign);
        assert_eq!(content(&"{faultline".repeat(5_000)), Content::Foreign);
        assert_eq!(content(&EVENT[..60]), Content::Broken);
        assert_eq!(content(&format!("{{\"msg\":\"x {}", EVENT.replace('"', "\\\"").split_at(50).0)), Content::Broken);
        assert_eq!(read("2026-11-20T15:43:30Z info ready").at, Some(1_795_189_410_000));
        assert_eq!(read("[2026-11-20 15:43:30.1][7] ready").at, None);
    }
}
