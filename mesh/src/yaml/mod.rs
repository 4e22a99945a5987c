//! Reads YAML with the position of each value, and writes YAML. This is the only file that uses the YAML library.

mod colons;
mod key;
pub mod node;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use key::Key;
use node::{Node, Position, Value};

/// Writes a value as one YAML document.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn write(value: &impl Serialize) -> anyhow::Result<String> {
    // A pinned image is longer than a folded line would be; on one line it can be searched for and copied.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    Ok(serde_saphyr::to_string_with_options(value, options)?)
}

/// How many values aliases may repeat, all together: far more than any file of rules repeats, and few enough that a
/// file in which each alias repeats several others ends at once.
const MAX_REPEATED: usize = 100_000;

/// Parses every document of a YAML or JSON text; empty documents are skipped.
///
/// # Errors
/// When it is neither; with the position, if the parser reports one.
pub fn read(text: &str) -> Result<Vec<Node>, (Option<Position>, String)> {
    read_below(text, 0)
}

/// As [`read`]; `above`: the number of lines above the text, for what its errors say.
fn read_below(text: &str, above: u64) -> Result<Vec<Node>, (Option<Position>, String)> {
    let options = serde_saphyr::options! {
        // The output of `kubectl get` for a large mesh exceeds the parser's default limits.
        budget: None,
        with_snippet: false,
        // kubectl reads YAML 1.1, in which 010 is 8.
        legacy_octal_numbers: true,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED },
    };
    let hidden = colons::hide(text);
    let read: Result<Vec<Node>, _> = serde_saphyr::from_multiple_with_options(&hidden, options);
    match read {
        Ok(mut nodes) => {
            nodes.retain(|node| !matches!(node.value, Value::Scalar(Json::Null)));
            if matches!(hidden, Cow::Owned(_)) {
                nodes.iter_mut().try_for_each(colons::show)?;
            }
            Ok(nodes)
        }
        Err(error) => {
            let at = error.location().map(|at| Position { line: at.line(), column: Some(at.column()) });
            // The position is told by itself.
            let place = at.map(|at| format!(" at line {}, column {}", at.line, at.column.unwrap_or(1)));
            let words = colons::shown(&error.to_string());
            let bare = place.and_then(|place| words.strip_suffix(&place).map(str::to_owned));
            let plain = duplicate(&error, text, above).or_else(|| repeated(&error));
            let mut said = plain.unwrap_or_else(|| bare.unwrap_or(words));
            if said.starts_with("mapping values are not allowed") {
                said.push_str("; a text with `: ` in it, or `:` at its end, needs quotes");
            }
            Err((at, said))
        }
    }
}

/// Parses JSON values that stand one after the other, as `jq -c '.items[]'` writes them and kubectl reads them. `None`
/// unless there are several, and nothing else.
pub fn read_json_values(text: &str) -> Option<Vec<Node>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    let (mut nodes, mut above, mut counted) = (Vec::new(), 0, 0);
    while let Some(value) = values.next() {
        let value = value.ok()?.get();
        let begin = values.byte_offset().checked_sub(value.len())?;
        above += text.get(counted..begin)?.matches('\n').count() as u64;
        counted = begin;
        nodes.extend(read_below(value, above).ok()?.into_iter().map(|node| node.lowered(above)));
    }
    (nodes.len() > 1).then_some(nodes)
}

/// A document of a text: where it begins, as the number of lines above, and what it is.
pub type Part = (u64, Result<Vec<Node>, (Option<Position>, String)>);

/// Parses a text's documents one by one, so that one that is broken does not hide the others. Positions are those in
/// the whole text.
pub fn read_parts(text: &str) -> Vec<Part> {
    let mut parts = vec![(0, String::new())];
    for (index, line) in text.split_inclusive('\n').enumerate() {
        // At the margin, these three signs begin a document even inside a block of text.
        let rest = line.strip_prefix("---");
        if rest.is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t'])) {
            parts.push((index as u64, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
        }
    }
    let lower = |above: u64, read: Result<Vec<Node>, (Option<Position>, String)>| match read {
        Ok(nodes) => Ok(nodes.into_iter().map(|node| node.lowered(above)).collect()),
        Err((position, problem)) => {
            Err((position.map(|position| Position { line: position.line + above, ..position }), problem))
        }
    };
    parts.into_iter().map(|(above, part)| (above, lower(above, read_below(&part, above)))).collect()
}

/// What is said of aliases that repeat too much; `None` for any other error.
fn repeated(error: &serde_saphyr::Error) -> Option<String> {
    use serde_saphyr::Error;
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let is_it = matches!(
        error,
        Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    );
    is_it.then(|| format!("its aliases (`*name`) repeat more than {MAX_REPEATED} values; write out what is meant"))
}

/// What is said of a key that is there twice; `None` for any other error.
fn duplicate(error: &serde_saphyr::Error, text: &str, above: u64) -> Option<String> {
    let serde_saphyr::Error::DuplicateMappingKey { key, location } = error.without_snippet() else { return None };
    let key = &colons::shown(key.as_deref()?);
    let index = usize::try_from(location.line()).ok()?.checked_sub(1)?;
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let lines: Vec<&str> = text.lines().collect();
    let here = indent(lines.get(index)?);
    // The first of the two is above, at the same depth, unless both are on one line.
    let is_it = |line: &&str| {
        let start = line.trim_start_matches([' ', '-']).trim_start_matches(['"', '\'']);
        indent(line) == here
            && start.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(['"', '\'']).starts_with(':'))
    };
    let first =
        lines.get(..index)?.iter().rposition(is_it).map(|line| format!(" (first in line {})", line as u64 + above + 1));
    let more = match here == 0 && ["apiVersion", "kind", "metadata", "spec"].contains(&key.as_str()) {
        true => "; is `---` missing above, between two resources?",
        false => "; one of them is lost",
    };
    Some(format!("`{key}` is there twice{}{more}", first.unwrap_or_default()))
}

fn position_at(at: &serde_saphyr::Location) -> Position {
    Position { line: at.line(), column: Some(at.column()) }
}

// Each value becomes a node as soon as it is read. A mesh has millions of values, and what the parser tells of each is
// several times what is kept of it.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { position: position_at(&referenced), value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Scalar(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        // Most lists and objects have fewer items than a vector that grows makes room for.
        list.shrink_to_fit();
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        while let Some(Spanned { value: Key(key), referenced, .. }) = fields.next_key::<Spanned<Key>>()? {
            // Who wrote which field: longer than the resource itself, and no rule asks for it.
            if key == "managedFields" {
                fields.next_value::<IgnoredAny>()?;
            } else {
                map.push((key, Node { position: position_at(&referenced), ..fields.next_value()? }));
            }
        }
        map.shrink_to_fit();
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_know_their_lines_in_yaml_and_json() {
        let text = "a: 1\nb:\n  c:\n  - d: x\n  - d: {e: [1, two]}\n---\nsecond: true\n";
        let nodes = read(text).unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].position_of("b.c[1].d.e"), Position { line: 5, column: Some(9) });
        assert_eq!(nodes[0].position_of("b.c[1].nothing.here").line, 5);
        assert_eq!(nodes[0].text("b.c[0].d"), Some("x"));
        assert_eq!(nodes[1].position_of("second").line, 7);
        assert_eq!(nodes[0].json(), serde_json::json!({"a": 1, "b": {"c": [{"d": "x"}, {"d": {"e": [1, "two"]}}]}}));
        let json = read("{\n \"a\": {\n\t\"b\": -1.5}}").unwrap();
        assert_eq!(json[0].position_of("a.b").line, 3);
    }

    #[test]
    fn a_key_that_is_there_twice_is_told_in_plain_words() {
        let problem = |text: &str| read(text).unwrap_err().1;
        let subset = "spec:\n  subsets:\n  - name: v3\n    trafficPolicy: {a: 1}\n    trafficPolicy: {b: 2}\n";
        assert_eq!(problem(subset), "`trafficPolicy` is there twice (first in line 4); one of them is lost");
        let first = "spec:\n  subsets:\n  - name: v3\n    labels: {}\n    name: v4\n";
        assert_eq!(problem(first), "`name` is there twice (first in line 3); one of them is lost");
        assert_eq!(problem("a: {b: 1, b: 2}\n"), "`b` is there twice; one of them is lost");
        let two = "apiVersion: v1\nkind: A\n\napiVersion: v1\nkind: B\n";
        let told = "`apiVersion` is there twice (first in line 1); is `---` missing above, between two resources?";
        assert_eq!(problem(two), told);
    }

    /// What Kubernetes' own reader makes of each, as Helm's `fromYaml` prints it; empty where it refuses the text.
    const AS_KUBECTL: [(&str, &str); 40] = [
        ("a: [fd00::]", r#"{"a":["fd00::"]}"#),
        ("a: [fd00::, 10.0.0.1]", r#"{"a":["fd00::","10.0.0.1"]}"#),
        ("a: [10.0.0.1, fd00::]", r#"{"a":["10.0.0.1","fd00::"]}"#),
        ("a: {b: fd00::}", r#"{"a":{"b":"fd00::"}}"#),
        ("a: {b: fd00::, c: 1}", r#"{"a":{"b":"fd00::","c":1}}"#),
        ("a: [fd00::/8]", r#"{"a":["fd00::/8"]}"#),
        ("a: [\"fd00::\"]", r#"{"a":["fd00::"]}"#),
        ("a: fd00::/8", r#"{"a":"fd00::/8"}"#),
        ("a: [::]", ""),
        ("a: [::1]", ""),
        ("a: [::1, ::]", ""),
        ("a: {b: ::}", ""),
        ("a: {b: ::1}", ""),
        ("a: ::", ""),
        ("a: fd00::", ""),
        ("a: ::1", r#"{"a":"::1"}"#),
        ("a: [fd00:]", r#"{"a":["fd00:"]}"#),
        ("a: {b:}", r#"{"a":{"b:":null}}"#),
        ("a: {b:, c: 1}", r#"{"a":{"b:":null,"c":1}}"#),
        ("a: {b:1}", r#"{"a":{"b:1":null}}"#),
        ("a: {\"b\":1}", r#"{"a":{"b":1}}"#),
        ("a: [a:b:]", r#"{"a":["a:b:"]}"#),
        ("a: \"see [x, ::1, y::]\"", r#"{"a":"see [x, ::1, y::]"}"#),
        ("a: |\n  {b: ::1, c: y::}\n", r#"{"a":"{b: ::1, c: y::}\n"}"#),
        ("a: 1 # [::1, x::]", r#"{"a":1}"#),
        ("on: 1", r#"{"true":1}"#),
        ("yes: 2", r#"{"true":2}"#),
        ("n: 1", r#"{"false":1}"#),
        ("{on: x, off: z}", r#"{"true":"x","false":"z"}"#),
        ("\"on\": x", r#"{"on":"x"}"#),
        ("'no': x", r#"{"no":"x"}"#),
        ("1: x", r#"{"1":"x"}"#),
        ("1.5: x", r#"{"1.5":"x"}"#),
        ("1e3: x", r#"{"1000":"x"}"#),
        ("010: x", r#"{"8":"x"}"#),
        ("0x1F: x", r#"{"31":"x"}"#),
        ("\"010\": x", r#"{"010":"x"}"#),
        ("~: x", ""),
        ("null: x", ""),
        ("a: [on, n, 'n', 012]", r#"{"a":[true,false,"n",10]}"#),
    ];

    #[test]
    fn texts_are_read_as_kubernetes_reads_them() {
        for (text, wanted) in AS_KUBECTL {
            let read = read(text);
            match (&read, wanted) {
                (Err(_), "") => {}
                (Ok(nodes), wanted) if !wanted.is_empty() => {
                    let wanted: Json = serde_json::from_str(wanted).unwrap();
                    assert_eq!(nodes[0].json(), wanted, "{text}");
                }
                _ => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn what_kubernetes_refuses_is_told_in_plain_words() {
        let problem = |text: &str| read(text).unwrap_err();
        let (position, words) = problem("a: 1\nb: [10.0.0.1, ::1]\n");
        assert_eq!(position, Some(Position { line: 2, column: Some(15) }));
        assert_eq!(words, "a text that begins with `:` needs quotes between brackets or braces");
        assert_eq!(problem("a: {~: 1}").1, "a null is no key; put quotes around it");
        assert!(problem("a: fd00::").1.ends_with("a text with `: ` in it, or `:` at its end, needs quotes"));
    }

    #[test]
    fn who_wrote_which_field_is_not_kept() {
        let nodes = read("a: 1\nmanagedFields:\n- {manager: kubectl, f: {g: {}}}\nb: 2\n").unwrap();
        assert_eq!(nodes[0].json(), serde_json::json!({"a": 1, "b": 2}));
    }

    #[test]
    fn what_is_kept_has_no_room_to_grow() {
        fn spare(node: &Node) -> usize {
            match &node.value {
                Value::Scalar(_) => 0,
                Value::List(items) => items.capacity() - items.len() + items.iter().map(spare).sum::<usize>(),
                Value::Map(fields) => {
                    fields.capacity() - fields.len() + fields.iter().map(|(_, node)| spare(node)).sum::<usize>()
                }
            }
        }
        let nodes = read("a: 1\nb: {c: [1, 2], d: {e: [{f: 1}]}}\n").unwrap();
        assert_eq!(spare(&nodes[0]), 0);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let (position, _) = read("a: 1\nb: [1\nc: 2\n").unwrap_err();
        assert!(position.is_some_and(|position| position.line >= 2), "{position:?}");
    }
}
