//! Events that are written in another way than JSON: Python's and Ruby's single quotes and arrows, a debugger's maps,
//! YAML, logfmt, typographic quotes, percent signs. They are not read, and must not pass for a log without events.

use memchr::memmem;

use super::event::KEY;
use super::known;

/// As far from its key may a value begin: blanks, quotes and escapes stand between them.
const MOST_BETWEEN: usize = 32;

/// Escapes of a quote, a blank or a colon, whose letters are no words.
const ESCAPES: [&str; 13] =
    ["u0022", "u0027", "x22", "x27", "&quot;", "&apos;", "&#34;", "&#39;", "%22", "%27", "%20", "%3A", "%3D"];

/// How many look-alikes of events are in a text.
pub(super) fn count(text: &str) -> usize {
    text.lines().map(in_line).sum()
}

fn in_line(line: &str) -> usize {
    let versioned =
        || has(line, "ts", |value| value.starts_with("20")) || has(line, "v", |value| value.starts_with('1'));
    let places = memmem::find_iter(line.as_bytes(), KEY.as_bytes());
    let names: Vec<bool> = places.filter_map(|at| named(line, at)).collect();
    // One key a line, as YAML has it, stands by itself. What only speaks of events, as a query does, has neither.
    let lonely = names.iter().any(|lonely| *lonely);
    if lonely || !names.is_empty() && versioned() { names.len() } else { 0 }
}

/// Whether the key at this place has the name of an event as its value, and then whether nothing else is on the line.
fn named(line: &str, at: usize) -> Option<bool> {
    let before = line.get(..at)?;
    if before.ends_with(['.', '_', '-', '/']) || goes_on(before) {
        return None;
    }
    let value = value(line.get(at + KEY.len()..)?)?;
    let end = value.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(value.len());
    let (name, after) = value.split_at_checked(end)?;
    let alone = |text: &str| !text.chars().any(char::is_alphanumeric);
    known::is_known(name).then(|| alone(before) && alone(after))
}

/// Whether a key of this name is there with such a value.
fn has(line: &str, key: &str, is: fn(&str) -> bool) -> bool {
    let at = |at: usize| {
        let free = line.get(..at).is_some_and(|before| !goes_on(before));
        free && line.get(at + key.len()..).and_then(value).is_some_and(is)
    };
    memmem::find_iter(line.as_bytes(), key.as_bytes()).any(at)
}

/// Whether what comes next would be the middle of a word.
fn goes_on(before: &str) -> bool {
    let escaped = ESCAPES.iter().any(|escape| before.ends_with(escape));
    !escaped && before.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// What is assigned to a key, from what stands behind it.
fn value(behind: &str) -> Option<&str> {
    let mut rest = behind;
    let mut assigned = false;
    loop {
        if let Some(escape) = ESCAPES.iter().find(|escape| rest.starts_with(**escape)) {
            assigned |= escape.starts_with("%3");
            rest = rest.get(escape.len()..)?;
            continue;
        }
        let sign = rest.chars().next()?;
        if sign.is_alphanumeric() {
            break;
        }
        assigned |= sign == ':' || sign == '=';
        rest = rest.get(sign.len_utf8()..)?;
    }
    let between = behind.get(..behind.len() - rest.len())?;
    // What compares asks for events, and is none.
    let compares = ["==", "!=", "=~", "!~", ","].iter().any(|sign| between.contains(sign));
    (assigned && !compares && between.len() <= MOST_BETWEEN).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_in_other_forms_are_counted() {
        for (text, wanted) in [
            ("{'faultline': 'endpoint_ejected', 'v': 1, 'ts': '2026-11-20T15:43:09.567Z', 'cluster': 'c'}", 1),
            ("[{'faultline': 'error_streak', 'v': 1}, {'faultline': 'failover_ended', 'v': 1}]", 2),
            ("{\"faultline\"=>\"endpoint_ejected\", \"v\"=>1, \"ts\"=>\"2026-11-20T15:43:09.567Z\"}", 1),
            ("map[cluster:c faultline:endpoint_ejected ts:2026-11-20T15:43:09.567Z v:1]", 1),
            ("{faultline=endpoint_ejected, v=1, ts=2026-11-20T15:43:09.567Z}", 1),
            ("{faultline:endpoint_ejected,v:1,ts:2026-11-20T15:43:09.567Z}", 1),
            ("{”faultline”: ”endpoint_ejected”, ”v”: 1}", 1),
            ("faultline=\"endpoint_ejected\" v=1 ts=\"2026-11-20T15:43:09.567Z\"", 1),
            ("%7B%22faultline%22%3A%20%22endpoint_ejected%22%2C%20%22v%22%3A%201%2C", 1),
            ("- faultline: \"endpoint_ejected\"\n  v: 1\n  ts: \"2026-11-20T15:43:09.567Z\"", 1),
            (" 'faultline': 'endpoint_returned',", 1),
        ] {
            assert_eq!(count(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_only_speaks_of_events_is_none() {
        for text in [
            "wasm log faultline: 0.1.0 watches, its configuration is in force",
            "jq -c 'select(.faultline == \"endpoint_ejected\")' at ts: 2026-11-20",
            "{container=\"istio-proxy\"} | json | faultline=\"endpoint_ejected\" | line_format \"{{.ts}}\"",
            "count_over_time({faultline=~\"endpoint_ejected|failover_started\", v=\"1\"}[5m])",
            "faultline_endpoint_ejections_total{v=\"1\"} 4",
            "the plugin faultline, endpoint_ejected v: 1",
            "image: registry/faultline:v1 ts: 2026-11-20",
            "{'faultline': 'enabled', 'v': 1}",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
    }
}
