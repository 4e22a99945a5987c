//! Finds every event in a record, at any depth: in objects, in arrays, in JSON that is a text in JSON, in text around
//! JSON. Each event gets the names that stand nearest to it.
//!
//! What begins as an event and cannot be read is found, too: cut off, or malformed.

use std::ops::Range;
use std::sync::LazyLock;

use filter_core::time::Millis;
use memchr::memmem;
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::event::{KEY, Kind};
use super::flat::Flat;
use super::found::{Found, What, leave_one};
use super::json::{self, Node, Pairs};
use super::labels::{self, Labels};
use super::parse::{self, NoEvent, TimeOf};
use super::remark;
use super::{cells, escapes, hot_switch, look_alike, shapes, table};

/// Objects, arrays and texts in one another: deeper than any chain of shippers.
const MAX_DEPTH: u32 = 40;

/// Braces in one text that begin no JSON, before the rest of it is called foreign.
const MAX_BRACES: usize = 64;

/// As deep are names of proxies looked for that tell of no event.
const MAX_QUIET_DEPTH: u32 = 6;

/// Everything in one record.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(super) found: Vec<Found>,
    /// Of whom the record also is, without telling of an event.
    pub(super) quiet: Vec<Labels>,
    /// When the record was written, as far as it tells.
    pub(super) at: Option<Millis>,
}

/// Looks through a line of text.
pub(super) fn line(line: &str) -> Findings {
    let mut findings = Findings::default();
    findings.string(line, MAX_DEPTH);
    findings
}

/// Looks through a JSON value; through its text, if it is none.
pub(super) fn value(text: &str) -> Findings {
    let mut findings = Findings::default();
    let read = if may_hold(text) { findings.json(text, MAX_DEPTH) } else { findings.quiet(text, MAX_QUIET_DEPTH) };
    if !read {
        findings.text(text, MAX_DEPTH);
    }
    findings
}

/// Looks through a row of a table.
pub(super) fn row(row: &[(String, String)], delimiter: u8) -> Findings {
    let pairs = Pairs::of_row(row);
    let mut findings = Findings::default();
    findings.object(&pairs, None, MAX_DEPTH);
    let is_cut = |findings: &Findings| findings.found.iter().any(|one| matches!(one.what, What::Cut));
    if is_cut(&findings) {
        // What is not quoted may hold the delimiter itself.
        let fields: Vec<&str> = row.iter().map(|(_, field)| field.as_str()).collect();
        let mut whole = Findings::default();
        whole.text(&fields.join(&char::from(delimiter).to_string()), MAX_DEPTH);
        if !is_cut(&whole) {
            let labels = Labels::of(&pairs, &|key| row.iter().any(|(name, field)| name == key && holds(field)));
            whole.found.iter_mut().for_each(|one| {
                let around = std::mem::replace(&mut one.labels, labels.clone());
                one.labels.fill(&around);
            });
            return whole;
        }
    }
    findings
}

static EVENT: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));
static STOPPED: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(remark::STOPPED));

/// Whether it may hold an event, or a remark.
pub(super) fn holds(text: &str) -> bool {
    EVENT.find(text.as_bytes()).is_some() || STOPPED.find(text.as_bytes()).is_some()
}

/// Whether it may hold one event, and neither another nor a remark.
fn holds_one(text: &str) -> bool {
    EVENT.find_iter(text.as_bytes()).nth(1).is_none() && STOPPED.find(text.as_bytes()).is_none()
}

/// Whether it may hold an event, or a remark, as it stands or packed.
pub(super) fn may_hold(text: &str) -> bool {
    holds(text) || escapes::is_packed(text)
}

impl Findings {
    /// Looks through a text, and what is packed in it.
    fn string(&mut self, text: &str, depth: u32) {
        if holds(text) {
            self.text(text, depth);
        }
        if !escapes::has_base64(text) {
            return;
        }
        let Some(deeper) = depth.checked_sub(1) else { return };
        // JSON in a text: what is packed has the names beside it.
        if text.trim_start().starts_with(['{', '[']) && !holds(text) && self.json(text, deeper) {
            return;
        }
        for (part, plain) in escapes::of_base64(text) {
            let before = self.found.len();
            self.packed(&plain, deeper);
            self.name(before, text, part);
        }
    }

    /// Looks through what was unpacked.
    fn packed(&mut self, plain: &str, depth: u32) {
        let Some(deeper) = depth.checked_sub(1) else { return };
        if !self.json(plain, deeper) {
            self.string(plain, deeper);
        }
    }

    /// Whether it was JSON.
    fn json(&mut self, text: &str, depth: u32) -> bool {
        let Some(deeper) = depth.checked_sub(1) else { return true };
        match text.trim_start().as_bytes().first() {
            Some(b'{') => {
                let Some(pairs) = json::pairs(text) else { return false };
                self.object(&pairs, Some(text), deeper);
            }
            Some(b'[') => {
                let Some(elements) = json::elements(text) else { return false };
                self.array(&elements, deeper);
            }
            Some(b'"') => {
                let Some(inner) = json::string(text) else { return false };
                self.string(&inner, deeper);
            }
            _ => return false,
        }
        true
    }

    fn array(&mut self, elements: &[&RawValue], depth: u32) {
        // A record as a list of fields, as CloudWatch Insights answers.
        if let Some(pairs) = json::named(elements) {
            self.object(&pairs, None, depth);
            return;
        }
        let before = self.found.len();
        let mut beside = Labels::default();
        let mut scalars = false;
        for element in elements {
            let text = element.get();
            scalars |= text.starts_with('"');
            let known = self.found.len();
            if may_hold(text) && self.json(text, depth) && self.found.len() > known {
                continue;
            }
            // Loki's entries: [time, line, {"pod": …}]
            if scalars && let Some(pairs) = json::pairs(text) {
                beside.fill(&Labels::of(&pairs, &|_| false));
            } else if !holds(text) {
                self.quiet(text, depth.min(MAX_QUIET_DEPTH));
            }
        }
        self.fill(before, &beside);
    }

    fn object(&mut self, pairs: &Pairs<'_>, json: Option<&str>, depth: u32) {
        let before = self.found.len();
        if let Some(rows) = table::rows(pairs) {
            rows.iter().for_each(|row| self.object(row, None, depth));
            return;
        }
        let whole = json.filter(|_| pairs.get(KEY).is_some());
        let flat = if whole.is_none() { Flat::of(pairs) } else { None };
        let is_event = whole.or(flat.as_ref().map(|flat| flat.json.as_str()));
        let mut with_events: Vec<&str> = Vec::new();
        // Nearly every event is one alone: what it holds is found at once, and not value by value.
        let is_alone = whole.is_some_and(holds_one);
        // {"POD": ["LINE", …]}
        let by_pod = pairs.iter().all(|(key, _)| cells::pod(key).is_some());
        let pod = |key| cells::pod(key).filter(|_| by_pod).map(Labels::of_pod);
        for (key, node) in pairs.iter() {
            let known = self.found.len();
            let is_own = whole.is_some() && parse::is_key(key);
            match node {
                _ if is_own && is_alone => continue,
                Node::Json(text) if holds(text) => {
                    self.json(text, depth);
                }
                Node::Json(text) if !is_own && escapes::is_packed(text) => match escapes::of_bytes(text) {
                    Some(inner) => self.packed(&inner, depth),
                    None => {
                        self.json(text, depth);
                    }
                },
                Node::Text(text) if may_hold(text) => self.string(text, depth.saturating_sub(1)),
                Node::Json(text) if text.starts_with('[') => {
                    self.quiet.extend(pod(key));
                    continue;
                }
                _ => continue,
            }
            if self.found.len() > known {
                with_events.push(key);
                pod(key).iter().for_each(|pod| self.fill(known, pod));
            }
        }
        let skipped = |key: &str| {
            let is_own = || flat.as_ref().map_or_else(|| whole.is_some() && parse::is_key(key), |flat| flat.has(key));
            with_events.contains(&key) || is_own()
        };
        let labels = Labels::of(pairs, &skipped);
        if let Some(json) = is_event {
            let has_time = flat.as_ref().map_or_else(|| pairs.get("ts").is_some(), |flat| flat.has_time);
            self.event(json, labels.at.filter(|_| !has_time));
        }
        if let Some(remark) = pairs.get(remark::KEY).and_then(json::scalar).and_then(|text| remark::of_text(&text)) {
            self.found.push(Found::of(What::Remark(remark)));
        }
        if with_events.len() + usize::from(is_event.is_some()) > 1 {
            leave_one(&mut self.found, before);
        }
        self.name_all(before, labels);
    }

    /// Gives what an object held its names and its time.
    fn name_all(&mut self, before: usize, labels: Labels) {
        self.at = self.at.max(labels.at);
        for one in self.found.iter_mut().skip(before) {
            if let What::Timeless(json) = &one.what
                && let Ok((event, _)) = parse::event(json, labels.at)
            {
                one.what = What::Event(Box::new(event), json.clone());
                one.time_assumed = true;
            }
        }
        if self.found.len() == before && !labels.name().is_empty() {
            self.quiet.push(labels);
        } else {
            self.fill(before, &labels);
        }
    }

    fn event(&mut self, json: &str, otherwise: Option<Millis>) {
        let (what, time_assumed) = match parse::event(json, otherwise) {
            Ok((event, of)) => (What::Event(Box::new(event), json.to_owned()), of == TimeOf::Record),
            Err(NoEvent::Malformed) => (What::Malformed, false),
            Err(NoEvent::Timeless) => (What::Timeless(json.to_owned()), false),
            Err(NoEvent::Foreign) => return,
        };
        let labels = match &what {
            What::Event(event, _) => match &event.kind {
                Kind::HotSwitch(switch) => hot_switch::labels(switch),
                _ => Labels::default(),
            },
            _ => Labels::default(),
        };
        self.found.push(Found { time_assumed, labels, ..Found::of(what) });
    }

    /// Takes in who is named by JSON without an event. Whether it was JSON.
    fn quiet(&mut self, text: &str, depth: u32) -> bool {
        let Some(deeper) = depth.checked_sub(1) else { return true };
        if let Some(pairs) = json::pairs(text) {
            let labels = Labels::of(&pairs, &|_| false);
            self.at = self.at.max(labels.at);
            if !labels.name().is_empty() {
                self.quiet.push(labels);
                return true;
            }
            if let Some(rows) = table::rows(&pairs) {
                self.quiet.extend(rows.iter().map(|row| Labels::of(row, &|_| false)));
            }
            for (key, node) in pairs.iter() {
                if let Node::Json(text) = node
                    && text.starts_with(['{', '['])
                    && !labels::is_of_request(&labels::normal(key))
                {
                    self.quiet(text, deeper);
                }
            }
            return true;
        }
        let Some(elements) = json::elements(text) else { return false };
        if let Some(pairs) = json::named(&elements) {
            self.quiet.push(Labels::of(&pairs, &|_| false));
            return true;
        }
        elements.iter().filter(|element| element.get().starts_with(['{', '['])).for_each(|element| {
            self.quiet(element.get(), deeper);
        });
        true
    }

    /// Looks through text, of one line or several.
    fn text(&mut self, text: &str, depth: u32) {
        let Some(deeper) = depth.checked_sub(1) else { return };
        let first = self.found.len();
        let mut at = 0;
        let mut covered = 0;
        let mut failures = 0;
        while let Some(brace) = text.get(at..).and_then(|rest| memchr::memchr(b'{', rest.as_bytes())) {
            let begin = at + brace;
            let rest = text.get(begin..).unwrap_or_default();
            if failures >= MAX_BRACES || !holds(rest) {
                break;
            }
            at = begin + 1;
            if !rest.get(1..).unwrap_or_default().trim_start().starts_with('"') {
                continue;
            }
            let mut values = Deserializer::from_str(rest).into_iter::<&RawValue>();
            let Some(Ok(value)) = values.next() else {
                failures += 1;
                continue;
            };
            let end = begin + values.byte_offset();
            at = end;
            if holds(value.get()) {
                self.rest(text, covered..begin, deeper);
                let before = self.found.len();
                self.json(value.get(), deeper);
                self.name(before, text, begin..end);
                covered = end;
            }
        }
        self.rest(text, covered..text.len(), deeper);
        // Labels before a line repeat what is in it.
        if self.found.iter().skip(first).any(|one| matches!(one.what, What::Event(..))) {
            let read = self.found.split_off(first).into_iter().filter(|one| !matches!(one.what, What::LookAlike));
            self.found.extend(read);
        }
    }

    /// Looks through a part of a text that holds no JSON as it stands: escaped, or cut off.
    fn rest(&mut self, text: &str, part: Range<usize>, depth: u32) {
        let rest = text.get(part.clone()).unwrap_or_default();
        if !holds(rest) {
            return;
        }
        if !rest.contains("\\\"") {
            self.remarks(text, &part);
        }
        let before = self.found.len();
        // The name of an event stands in quotes, however these are written.
        let is_quoted = memchr::memchr3(b'"', b'\\', b'&', rest.as_bytes()).is_some();
        match is_quoted.then(|| escapes::unescaped(rest)).flatten().filter(|_| depth > 0) {
            Some(plain) => self.text(&plain, depth.saturating_sub(1)),
            None if is_quoted => self.found.extend((0..escapes::beginnings(rest)).map(|_| Found::of(What::Cut))),
            None => {}
        }
        if self.found.len() == before {
            self.found.extend((0..look_alike::count(rest)).map(|_| Found::of(What::LookAlike)));
        }
        self.name(before, text, part);
    }

    /// Looks for remarks in a part of a text that is as it was written.
    fn remarks(&mut self, text: &str, part: &Range<usize>) {
        let mut at = part.start;
        for line in text.get(part.clone()).unwrap_or_default().split_inclusive('\n') {
            if holds(line)
                && let Some((remark, place)) = remark::of(line)
            {
                let before = self.found.len();
                self.found.push(Found::of(What::Remark(remark)));
                self.name(before, text, at + place.start..at + place.end);
            }
            at += line.len();
        }
    }

    /// Gives what was found in a part of a text the names on its line.
    fn name(&mut self, before: usize, text: &str, part: Range<usize>) {
        if self.found.len() == before {
            return;
        }
        let begin = text.get(..part.start).and_then(|head| head.rfind('\n')).map_or(0, |at| at + 1);
        let end = text.get(part.end..).and_then(|tail| tail.find('\n')).map_or(text.len(), |at| part.end + at);
        let writer = shapes::head(text.get(begin..).unwrap_or_default()).writer;
        let mut labels = Labels::around(
            text.get(begin..part.start).unwrap_or_default(),
            text.get(part.end..end).unwrap_or_default(),
        );
        // What stands before a line names the writer; a machine's name alone is worth less than a pod's on the line.
        if writer.pod.is_empty() {
            labels.fill(&writer.labels());
        } else {
            let around = std::mem::replace(&mut labels, writer.labels());
            labels.fill(&around);
        }
        // Of what is cut, the names stand before it.
        if self.found.iter().skip(before).any(|one| matches!(one.what, What::Cut)) {
            labels.fill(&Labels::around(text.get(part).unwrap_or_default(), ""));
        }
        self.fill(before, &labels);
    }

    /// Gives what was found from `before` on the names that stand around it.
    fn fill(&mut self, before: usize, labels: &Labels) {
        self.found.iter_mut().skip(before).for_each(|one| one.labels.fill(labels));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str =
        r#"{"faultline":"no_healthy_upstream","v":1,"ts":"2026-11-20T15:43:30.405Z","cluster":"c","endpoints":4}"#;

    fn counts(findings: &Findings) -> [usize; 3] {
        let count = |is: fn(&What) -> bool| findings.found.iter().filter(|one| is(&one.what)).count();
        [
            count(|what| matches!(what, What::Event(..))),
            count(|what| matches!(what, What::Malformed | What::Timeless(_))),
            count(|what| matches!(what, What::Cut)),
        ]
    }

    #[test]
    fn every_event_is_found_whatever_stands_around_it() {
        let quoted = serde_json::to_string(EVENT).unwrap();
        let twice = serde_json::to_string(&format!("{{\"msg\":{quoted}}}")).unwrap();
        for (text, wanted) in [
            (EVENT.to_owned(), 1),
            (format!("[x][warning] wasm log faultline: {EVENT}\tthread=22"), 1),
            (format!("{EVENT} {EVENT}{EVENT}"), 3),
            (format!("msg={quoted} pod=x"), 1),
            (format!("cut {{\"log\":{twice}, \"more\": {{"), 1),
            (format!("\"x\",\"{}\"", EVENT.replace('"', "\"\"")), 1),
        ] {
            assert_eq!(counts(&line(&text)), [wanted, 0, 0], "{text}");
        }
        for (text, wanted) in [(format!("[{EVENT},{EVENT}]"), 2), (format!("{{\"a\":[[{quoted},{twice}]]}}"), 2)] {
            assert_eq!(counts(&value(&text)), [wanted, 0, 0], "{text}");
        }
    }

    #[test]
    fn foreign_cut_and_malformed_are_told_apart() {
        for (text, wanted) in [
            ("2026-11-20T15:43:30Z info Envoy proxy is ready", [0, 0, 0]),
            ("wasm log faultline: the witness answers again {}", [0, 0, 0]),
            (&"{faultline".repeat(5_000), [0, 0, 0]),
            (r#"{"labels":{"faultline":"enabled"},"msg":"x"#, [0, 0, 0]),
            (&EVENT[..60], [0, 0, 1]),
            (&EVENT[..25], [0, 0, 1]),
            (&format!("{{\"msg\":\"x {}", EVENT.replace('"', "\\\"").split_at(50).0), [0, 0, 1]),
            (&format!("{EVENT} {}", &EVENT[..60]), [1, 0, 1]),
            (r#"{"faultline":"error_streak","v":1}"#, [0, 1, 0]),
            (r#"{"faultline":"enabled"}"#, [0, 0, 0]),
        ] {
            assert_eq!(counts(&line(text)), wanted, "{text}");
        }
    }

    #[test]
    fn the_nearest_names_count() {
        let quoted = serde_json::to_string(EVENT).unwrap();
        let names = |text: &str| -> Vec<String> {
            value(text).found.iter().map(|one| format!("{}/{}", one.labels.cluster, one.labels.name())).collect()
        };
        let loki = format!(
            r#"{{"cluster":"k","result":[{{"stream":{{"pod":"a"}},"values":[["1",{quoted}]]}},
                {{"stream":{{"app":"x"}},"values":[["1",{quoted},{{"pod":"b"}}]]}}]}}"#
        );
        assert_eq!(names(&loki), ["k/a", "k/b"]);
        let insights = format!(
            r#"{{"results":[[{{"field":"@message","value":{quoted}}},{{"field":"kubernetes.pod_name","value":"a"}}]]}}"#
        );
        assert_eq!(names(&insights), ["/a"]);
        let table =
            format!(r#"{{"columns":[{{"name":"PodName"}},{{"name":"Log"}}],"rows":[["a",{quoted}],["b",{quoted}]]}}"#);
        assert_eq!(names(&table), ["/a", "/b"]);
        let frame = format!(
            r#"{{"schema":{{"fields":[{{"name":"labels"}},{{"name":"Line"}}]}},
                "data":{{"values":[[{{"pod":"a"}}],[{quoted}]]}}}}"#
        );
        assert_eq!(names(&frame), ["/a"]);
    }
}
