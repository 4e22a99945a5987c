//! What names look like, and whose a record is where nothing but that tells: where a pod's name is a column of its own
//! before a message.

/// As much of a line is looked at: names stand before the message.
const MOST_BYTES: usize = 400;

/// A name as Kubernetes and Docker allow it.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(plain)
}

/// How much a name looks like that of a pod which a Deployment made, `x-7d9c6b5f4-8xkqz`, or a StatefulSet, `x-0`.
pub(super) fn likeness(name: &str) -> u8 {
    let Some((rest, last)) = name.rsplit_once('-') else { return 0 };
    // Kubernetes leaves out vowels, and what looks like another letter.
    let is_random = |part: &str| part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    let is_number = !last.is_empty() && last.len() <= 4 && last.bytes().all(|b| b.is_ascii_digit());
    let hashed = rest.rsplit_once('-').is_some_and(|(_, hash)| (6..=10).contains(&hash.len()) && is_random(hash));
    if last.len() == 5 && is_random(last) && hashed { 2 } else { u8::from(is_number) }
}

/// A Deployment's pod, with its namespace or not, that a text is.
pub(super) fn pod(text: &str) -> Option<(&str, &str)> {
    let (namespace, pod) = text.rsplit_once('/').unwrap_or(("", text));
    let good = likeness(pod) > 1 && is_name(pod) && (namespace.is_empty() || is_name(namespace));
    good.then_some((namespace, pod))
}

/// The pod that a column before the message names: between bars, tabs, commas or quotes.
pub(super) fn in_line(before: &str) -> Option<(&str, &str)> {
    let mut end = before.len().min(MOST_BYTES);
    while !before.is_char_boundary(end) {
        end -= 1;
    }
    let mut is_named = false;
    before.get(..end)?.split(['|', '\t', ',', ';', '\'', '"', '(', ')']).map(str::trim).find_map(|column| {
        // What a key names, the key tells.
        let pod = if is_named { None } else { pod(column) };
        is_named = column.ends_with([':', '=']);
        pod
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_known_by_its_form_where_it_is_a_column() {
        for (line, wanted) in [
            ("| mocka-7d9c6b5f4-8xkqz | [2026", Some("mocka-7d9c6b5f4-8xkqz")),
            ("EVENTS\t1\tshop/mocka-7d9c6b5f4-8xkqz\t[2026", Some("mocka-7d9c6b5f4-8xkqz")),
            ("VALUES ('mocka-7d9c6b5f4-8xkqz', '[2026", Some("mocka-7d9c6b5f4-8xkqz")),
            ("[2026-11-20] wasm log mocka-7d9c6b5f4-8xkqz faultline", None),
            ("a, istio-proxy, node-1", None),
            ("{\"destination_pod\":\"mocka-7d9c6b5f4-8xkqz\",\"log\":\"", None),
        ] {
            assert_eq!(in_line(line).map(|(_, pod)| pod), wanted, "{line}");
        }
    }
}
