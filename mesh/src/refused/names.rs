//! Names as istiod's validation takes them: host names, subsets, labels, addresses.

use std::net::IpAddr;

/// The longest label of a host name.
const MAX_LABEL: usize = 63;

/// Whether a text is one label of a host name; unlike in DNS itself, capitals count.
pub(super) fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX_LABEL && bytes.iter().all(is_inner) && is_end(bytes.first()) && is_end(bytes.last())
}

/// The same, or with a star in front: `*`, `*foo`, `*-foo`.
fn is_wildcard_label(text: &str) -> bool {
    let rest = text.strip_prefix('*').map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    text == "*" || (text.len() <= MAX_LABEL && is_label(rest.unwrap_or(text)))
}

/// What is wrong with a host name; in its first label a star may stand.
pub(super) fn wildcard_problem(host: &str) -> Option<String> {
    if let Some(problem) = length_problem(host) {
        return Some(problem);
    }
    let (first, rest) = host.split_once('.').map_or((host, None), |(first, rest)| (first, Some(rest)));
    if !is_wildcard_label(first) {
        return Some(label_problem(host, first));
    }
    rest.and_then(|rest| labels_problem(host, rest))
}

/// What is wrong with a host name without a star.
pub(super) fn name_problem(host: &str) -> Option<String> {
    length_problem(host).or_else(|| labels_problem(host, host))
}

fn length_problem(host: &str) -> Option<String> {
    match host.len() {
        0 => Some("is empty".to_owned()),
        256.. => Some("has more than 255 signs".to_owned()),
        _ => None,
    }
}

/// Every label but a last one that is empty (a dot at the end).
fn labels_problem(host: &str, rest: &str) -> Option<String> {
    let top = rest.rsplit('.').next().unwrap_or_default();
    if top.parse::<i64>().is_ok() {
        return Some(format!("`{host}` is no host name: its last label cannot be a number"));
    }
    let labels: Vec<&str> = rest.split('.').collect();
    let last = labels.len().saturating_sub(1);
    let mut named = labels.iter().enumerate().filter(|(index, label)| !(*index == last && label.is_empty()));
    named.find(|(_, label)| !is_label(label)).map(|(_, label)| label_problem(host, label))
}

fn label_problem(host: &str, label: &str) -> String {
    let of_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let hint = if of_port { " (a host stands without its port)" } else { "" };
    match label {
        "" => format!("`{host}` is no host name: a part of it is empty"),
        _ => format!("`{host}` is no host name: `{label}` has other signs than letters, digits and inner dashes{hint}"),
    }
}

/// Whether a text is an IP address, with a zone or without.
pub(super) fn is_address(text: &str) -> bool {
    text.split_once('%').map_or(text, |(address, _)| address).parse::<IpAddr>().is_ok()
}

/// Whether a text is an IP address or, with a slash, a block of them.
pub(super) fn is_subnet(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return is_address(text) };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let is_plain = bits == "0" || (!bits.starts_with('0') && bits.bytes().all(|byte| byte.is_ascii_digit()));
    is_plain && bits.parse::<u8>().is_ok_and(|bits| bits <= if address.is_ipv4() { 32 } else { 128 })
}

/// What is wrong with a label of Kubernetes, a key and its value.
pub(super) fn pair_problem(key: &str, value: &str) -> Option<String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(is_long_label);
    if !is_qualified(name) || name.len() > MAX_LABEL || !prefix.is_none_or(is_prefix) {
        return Some(format!("`{key}` is no name of a label"));
    }
    (!value.is_empty() && !is_qualified(value)).then(|| format!("`{value}` is no value of a label"))
}

/// A label of a host name of any length.
fn is_long_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && is_end(bytes.first())
        && is_end(bytes.last())
}

/// Letters and digits, with dashes, underscores and dots inside.
fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.iter().all(is_inner) && is_end(bytes.first()) && is_end(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_as_the_webhook_does() {
        for host in ["*", "web", "*.local", "*-a.b", "*a.b", "Web.shop.svc.cluster.local.", "123", "a.b1"] {
            assert_eq!(wildcard_problem(host), None, "{host}");
        }
        for host in ["", "a|b", "web:80", "http://web", "a b", "a..b", ".a", "*.*.b", "a.*", "a_b.c", "10.0.0.1", "-a"]
        {
            assert!(wildcard_problem(host).is_some(), "{host}");
        }
        assert!(wildcard_problem(&"a".repeat(64)).is_some() && wildcard_problem(&"a.".repeat(128)).is_some());
        assert!(name_problem("*.a").is_some() && name_problem("a.b").is_none());
        assert!(is_subnet("10.0.0.0/8") && is_subnet("::1") && !is_subnet("10.0.0.0/33") && !is_subnet("a/8"));
        assert_eq!(pair_problem("app.kubernetes.io/name", "a_b.c"), None);
        assert!(pair_problem("a b", "").is_some() && pair_problem("a", "b c").is_some());
    }
}
